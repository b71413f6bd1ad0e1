"""A Hub on loopback that takes uploads: repositories are made, files come by LFS, commits name them.

    with UploadHub(tmp_path) as hub:
        HfApi(hub.endpoint).upload_folder(...)

What LFS has sent lies in `folder`/lfs under its sha256 until a commit names it; then it becomes a plain git blob. Only
Parquet goes by LFS. No Xet: clients must have HF_HUB_DISABLE_XET set, as `Hub.environ` has.
"""

import base64
import hashlib
import json
import os
import re
import tempfile
import urllib.parse

from hub import Hub, Reply, as_json, find_commit, git, read_entries, refuse

UPLOAD = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)/(?P<step>preupload|commit)/(?P<revision>[^/]+)")
BATCH = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
OBJECT = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})")


class UploadHub(Hub):
    """A Hub that lives in `folder` while the `with` block lasts, and that can be written to."""

    def answer(self, method, target, form):
        path = urllib.parse.urlsplit(target).path
        if path == "/api/validate-yaml":
            return as_json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(form))
        if match := OBJECT.fullmatch(path):
            return self.take(match["oid"], form)
        if match := BATCH.fullmatch(path):
            return self.batch(json.loads(form)["objects"])
        if (match := UPLOAD.fullmatch(path)) and self.git_dir(match["repo"]).exists():
            ref = f"refs/heads/{urllib.parse.unquote(match['revision'])}"
            return (self.preupload if match["step"] == "preupload" else self.commit)(match["repo"], ref, form)
        return super().answer(method, target, form)

    def create(self, asked):
        repo = f"{asked['organization']}/{asked['name']}"
        if self.git_dir(repo).exists():
            return Reply(json.dumps({"error": "It is there", "url": self.url_of(repo)}).encode(), 409)
        with tempfile.TemporaryDirectory(dir=self.folder) as empty:
            with open(f"{empty}/.gitattributes", "w", encoding="utf-8") as file:
                file.write("*.parquet filter=lfs\n")
            self.add(repo, empty)
        self.private = asked.get("private") or asked.get("visibility") == "private"
        return as_json({"url": self.url_of(repo), "id": repo, "name": repo})

    def url_of(self, repo):
        return f"{self.endpoint}/datasets/{repo}"

    def preupload(self, repo, ref, form):
        git_dir = self.git_dir(repo)
        entries = read_entries(git_dir, find_commit(git_dir, ref))
        files = []
        for asked in json.loads(form)["files"]:
            mode = "lfs" if asked["path"].endswith(".parquet") else "regular"
            oid = entries.get(asked["path"], {}).get("oid") if mode == "regular" else self.lfs_of(entries, asked)
            files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return as_json({"files": files, "commitOid": find_commit(git_dir, ref)})

    def lfs_of(self, entries, asked):
        """The sha256 of the file that lies where one is to be sent."""
        entry = entries.get(asked["path"])
        return (self.folder / "sha256" / entry["oid"]).read_text("utf-8") if entry else None

    def batch(self, objects):
        for found in objects:
            if not (self.folder / "lfs" / found["oid"]).exists():
                found["actions"] = {"upload": {"href": f"{self.endpoint}/lfs/{found['oid']}"}}
        return as_json({"transfer": "basic", "objects": objects})

    def take(self, oid, body):
        if hashlib.sha256(body).hexdigest() != oid:
            return refuse(422, "WrongDigest")
        (self.folder / "lfs").mkdir(exist_ok=True)
        part = self.folder / "lfs" / f"{oid}.{id(body)}.part"
        part.write_bytes(body)
        os.replace(part, self.folder / "lfs" / oid)
        return Reply()

    def commit(self, repo, ref, form):
        git_dir, lines = self.git_dir(repo), [json.loads(line) for line in form.splitlines()]
        parent = find_commit(git_dir, ref)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            git(git_dir, "read-tree", parent, **index)
            for line in lines[1:]:
                oid = self.blob_of(git_dir, line, f"{scratch}/file")
                git(git_dir, "update-index", "--add", "--cacheinfo", f"100644,{oid},{line['value']['path']}", **index)
            tree = git(git_dir, "write-tree", **index).decode().strip()
        made = git(git_dir, "commit-tree", tree, "-p", parent, "-m", lines[0]["value"]["summary"]).decode().strip()
        git(git_dir, "update-ref", ref, made)
        self.commits.clear()
        url = f"{self.url_of(repo)}/commit/{made}"
        return as_json({"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""})

    def blob_of(self, git_dir, line, scratch):
        """The git blob of a line of a commit."""
        if line["key"] == "lfsFile":
            path = self.folder / "lfs" / line["value"]["oid"]
        else:
            with open(scratch, "wb") as file:
                file.write(base64.b64decode(line["value"]["content"]))
            path = scratch
        oid = git(git_dir, "hash-object", "-w", "--no-filters", str(path)).decode().strip()
        if line["key"] == "lfsFile":
            (self.folder / "sha256").mkdir(exist_ok=True)
            (self.folder / "sha256" / oid).write_text(line["value"]["oid"], "utf-8")
        return oid
