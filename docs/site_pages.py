"""What the site shows of files beside this folder: the pages among them, and what pages link to."""

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

#: Where a file of the checkout stands on the site.
_BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "deploy/README.md": "deploy/README.md",
}

#: Files of the checkout that are no pages; a link to one becomes its name.
_NO_PAGE = re.compile(r"\[([^\]]*)\]\((?!https?://|#)((?:\.\./)*[\w./-]*?)(?<!\.md)(#[\w-]+)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand elsewhere."""
    root = config.docs_dir.rsplit("/", 1)[0]
    for source, shown in _BESIDE.items():
        files.append(File.generated(config, shown, abs_src_path=f"{root}/{source}"))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they lead on the site, where all pages stand in this folder."""
    own = page.file.src_uri
    if own == "index.md":
        markdown = markdown.replace("](docs/", "](")
    elif own == "deploy/README.md":
        markdown = markdown.replace("](../docs/", "](../").replace(
            "](../README.md", "](../index.md"
        )
    else:
        markdown = markdown.replace("](../", "](").replace("](docs/", "](")
        markdown = markdown.replace("](README.md", "](index.md")
    return _NO_PAGE.sub(lambda link: link[0] if _is_shown(link[2]) else f"`{link[1]}`", markdown)


def _is_shown(path: str) -> bool:
    return path.endswith(".svg")
