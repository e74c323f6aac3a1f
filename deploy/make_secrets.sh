#!/bin/sh
# Makes what compose.yaml reads from secrets/, once: random, and on no command line.
# The folder is closed to others; the files in it are not, because every container reads its own as
# another user.
set -eu
cd "$(dirname "$0")"
mkdir -m 700 secrets
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
random > secrets/ray_token
random > secrets/serve_token
random > secrets/db_password
random > secrets/grafana_password
{
    printf 'postgresql+psycopg://autoprompt:'
    cat secrets/db_password
    printf '@postgresql:5432/autoprompt'
} > secrets/db_url
: > secrets/hub_token
chmod 444 secrets/*
chmod 644 secrets/hub_token
echo "made deploy/secrets: ray_token, serve_token, db_password, db_url, grafana_password, and" >&2
echo "hub_token, which is empty: put your Hugging Face token there for models that ask for one" >&2
