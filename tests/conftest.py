"""A small server that speaks as much of the Hugging Face hub's HTTP interface as pushing and pulling a model needs."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)  # a busy machine is no bug
settings.load_profile("without deadlines")

TOKEN = "hf_test"


@dataclass
class Repo:
    """A repository: commits are dictionaries of file names and contents; branches and commits name them."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        return sha

    def resolve(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class Hub:
    """What the server holds and what it was asked.

    Attributes:
        repos: By ``user/name``.
        requests: Method and path of every request, in order.
        large: Contents by SHA-256, as uploaded on their own.
        broken: Paths whose content is changed on its way, to see who notices.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    cards: list[str] = field(default_factory=list)

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        there = self.repos[repo]
        return there.commits[there.resolve(revision)]


def is_large(name: str) -> bool:
    return name.endswith(".safetensors")


def etag_of(name: str, content: bytes) -> str:
    if is_large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status=200, body=b"", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code):
        self.answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def serve(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        for method, pattern, action in ROUTES:
            found = re.fullmatch(pattern, path)
            if method == ("GET" if self.command == "HEAD" else self.command) and found:
                return action(self, **found.groupdict())
        return self.refuse(404, "EntryNotFound")

    do_GET = do_HEAD = do_POST = do_PUT = serve  # noqa: N815

    @property
    def known(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def find(self, repo, revision):
        """Return the repository and the commit, or None after having said why not."""
        there = self.hub.repos.get(repo)
        if there is None or (there.private and not self.known):
            self.refuse(404 if self.known else 401, "RepoNotFound")
            return None
        sha = there.resolve(revision)
        if sha is None:
            self.refuse(404, "RevisionNotFound")
            return None
        return there, sha

    def create(self):
        said = json.loads(self.body)
        name = f"{said.get('organization') or 'ann'}/{said['name']}"
        if not self.known:
            return self.refuse(401, "Unauthorized")
        if name in self.hub.repos:
            return self.answer(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        private = said.get("visibility") == "private" or bool(said.get("private"))
        repo = self.hub.repos[name] = Repo(private)
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return self.answer(200, {"url": f"{self.hub.url}/{name}", "name": name})

    def branch(self, repo, revision):
        there = self.hub.repos[repo]
        if revision in there.branches:
            return self.answer(409, {"error": "exists"})
        there.branches[revision] = there.branches["main"]
        return self.answer(200, {})

    def check_card(self):
        content = json.loads(self.body)["content"]
        self.hub.cards.append(content)
        try:
            said = yaml.safe_load(content.split("---")[1])
            errors = [] if isinstance(said, dict) else [{"message": "metadata is no mapping"}]
        except (IndexError, yaml.YAMLError) as error:
            errors = [{"message": str(error)}]
        return self.answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, repo, revision):
        if (found := self.find(repo, revision)) is None:
            return None
        there, sha = found
        files = json.loads(self.body)["files"]
        modes = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if is_large(f["path"]) else "regular",
                "shouldIgnore": False,
                "oid": etag_of(f["path"], there.commits[sha][f["path"]]) if f["path"] in there.commits[sha] else None,
            }
            for f in files
        ]
        return self.answer(200, {"files": modes})

    def batch(self, repo):
        objects = [
            {
                **asked,
                **(
                    {}
                    if asked["oid"] in self.hub.large
                    else {"actions": {"upload": {"href": f"{self.hub.url}/upload/{asked['oid']}", "header": {}}}}
                ),
            }
            for asked in json.loads(self.body)["objects"]
        ]
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.refuse(400, "BadDigest")
        self.hub.large[oid] = self.body
        return self.answer(200)

    def commit(self, repo, revision):
        if not self.known:
            return self.refuse(401, "Unauthorized")
        if (found := self.find(repo, revision)) is None:
            return None
        there, sha = found
        files = dict(there.commits[sha])
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header" and value.get("parentCommit", sha) != sha:
                return self.refuse(412, "Outdated")
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            if entry["key"] == "deletedFile":
                files.pop(value["path"])
        new = there.commit(revision, files)
        return self.answer(200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{new}", "commitOid": new})

    def info(self, repo, revision="main"):
        if (found := self.find(repo, revision)) is None:
            return None
        there, sha = found
        siblings = [{"rfilename": name} for name in sorted(there.commits[sha])]
        return self.answer(200, {"id": repo, "sha": sha, "private": there.private, "siblings": siblings})

    def tree(self, repo, revision):
        if (found := self.find(repo, revision)) is None:
            return None
        there, sha = found
        assert parse_qs(urlsplit(self.path).query).get("recursive") == ["true"] or True
        entries = []
        for name, content in sorted(there.commits[sha].items()):
            entry = {"type": "file", "path": name, "size": len(content), "oid": etag_of("", content)}
            if is_large(name):
                entry["lfs"] = {"oid": etag_of(name, content), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        return self.answer(200, entries)

    def resolve(self, repo, revision, path):
        if (found := self.find(repo, revision)) is None:
            return None
        there, sha = found
        if path not in there.commits[sha]:
            return self.refuse(404, "EntryNotFound")
        content = there.commits[sha][path]
        etag = etag_of(path, content)
        if path in self.hub.broken:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"ETag": f'"{etag}"', "X_Repo_Commit": sha, "Accept_Ranges": "bytes"}
        if is_large(path):
            headers |= {"X_Linked_ETag": f'"{etag}"', "X_Linked_Size": str(len(content))}
        return self.answer(200, content, **headers)


_REPO, _REV = r"(?P<repo>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
ROUTES = (
    ("POST", r"/api/repos/create", Handler.create),
    ("POST", r"/api/validate-yaml", Handler.check_card),
    ("POST", rf"/api/models/{_REPO}/branch/{_REV}", Handler.branch),
    ("POST", rf"/api/models/{_REPO}/preupload/{_REV}", Handler.preupload),
    ("POST", rf"/api/models/{_REPO}/commit/{_REV}", Handler.commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", r"/upload/(?P<oid>[0-9a-f]{64})", Handler.upload),
    ("GET", rf"/api/models/{_REPO}/tree/{_REV}/?", Handler.tree),
    ("GET", rf"/api/models/{_REPO}/revision/{_REV}", Handler.info),
    ("GET", rf"/api/models/{_REPO}", Handler.info),
    ("GET", rf"/{_REPO}/resolve/{_REV}/(?P<path>.+)", Handler.resolve),
)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of one's own on this machine, with an empty cache, which the client in this process speaks to."""
    from huggingface_hub import constants

    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cache = tmp_path / "hub-cache"
    for name, value in {
        "ENDPOINT": state.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": state.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
