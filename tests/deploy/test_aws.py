"""ray-up.yaml, and the role by which its head starts and ends workers."""

import json
import re

import jsonschema
from ray.autoscaler.tags import TAG_RAY_CLUSTER_NAME

from tests.deploy.files import DEPLOY, ray_up, text
from tests.deploy.test_deploy import RAY

POLICY = json.loads((DEPLOY / "aws" / "head-policy.json").read_text(encoding="utf-8"))
PROVIDER = (RAY / "autoscaler" / "_private" / "aws" / "node_provider.py").read_text(
    encoding="utf-8"
)

#: What Ray's calls are called in a policy.
ACTIONS = {
    "instances": "ec2:DescribeInstances",
    "create_instances": "ec2:RunInstances",
    "create_tags": "ec2:CreateTags",
    "terminate_instances": "ec2:TerminateInstances",
}
#: Calls that the head does not make, and why.
NEVER = {
    "describe_images": "for CloudWatch, which is not set up",
    "describe_instance_types": "on the machine of whoever runs `ray up`",
    "start_instances": "cache_stopped_nodes is off",
    "stop_instances": "cache_stopped_nodes is off",
}


def allowed() -> set[str]:
    actions = [statement["Action"] for statement in POLICY["Statement"]]
    return {name for each in actions for name in ([each] if isinstance(each, str) else each)}


def test_the_file_is_what_rays_own_schema_asks_for() -> None:
    path = RAY / "autoscaler" / "ray-schema.json"
    jsonschema.validate(ray_up(), json.loads(path.read_text(encoding="utf-8")))
    types = ray_up()["available_node_types"]
    assert ray_up()["head_node_type"] in types
    assert types["worker"]["max_workers"] <= ray_up()["max_workers"]


def test_the_role_may_do_what_rays_provider_does_and_nothing_else() -> None:
    """Ray's own provider, read: a call that a new version makes needs a line here, and there."""
    called = set(re.findall(r"\bec2(?:_fail_fast)?\.(?:meta\.client\.)?([a-z_]+)\b", PROVIDER))
    called -= {"meta"}
    assert called == set(ACTIONS) | set(NEVER)
    assert allowed() == set(ACTIONS.values())
    listed = re.findall(r"^\| `(ec2:\w+)` \|", text("README.md"), flags=re.MULTILINE)
    assert set(listed) == allowed()
    assert ray_up()["provider"]["cache_stopped_nodes"] is False
    assert "cloudwatch" not in ray_up()["provider"]


def test_it_touches_machines_of_this_cluster_alone() -> None:
    for statement in POLICY["Statement"]:
        changes = "ec2:DescribeInstances" not in statement["Action"]
        machines = str(statement["Resource"]).endswith(":instance/*")
        if changes and machines:
            conditions = statement["Condition"]["StringEquals"]
            tags = {key: value for key, value in conditions.items() if "Tag/" in key}
            assert set(tags.values()) == {ray_up()["cluster_name"]}
            assert {key.partition("/")[2] for key in tags} == {TAG_RAY_CLUSTER_NAME}
        else:
            assert statement["Action"] in ("ec2:DescribeInstances", "ec2:RunInstances")


def test_the_head_has_the_role_and_workers_have_none() -> None:
    types = ray_up()["available_node_types"]
    profile = types["head"]["node_config"]["IamInstanceProfile"]["Name"]
    assert "IamInstanceProfile" not in types["worker"]["node_config"]
    comment = text("ray-up.yaml")
    made = re.findall(r"aws iam (\S+) .*--instance-profile-name (\S+)", comment)
    assert made == [("create-instance-profile", profile), ("add-role-to-instance-profile", profile)]
    for name in re.findall(r"file://deploy/(\S+)", comment):
        json.loads((DEPLOY / name).read_text(encoding="utf-8"))
    for each in types.values():
        assert each["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
