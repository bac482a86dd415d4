"""Makes tars and OCI layouts for tests, right ones and wrong ones: nothing here is checked."""
import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile

TYPES = {
    "oci": {
        "index": "application/vnd.oci.image.index.v1+json",
        "manifest": "application/vnd.oci.image.manifest.v1+json",
        "config": "application/vnd.oci.image.config.v1+json",
        "plain": "application/vnd.oci.image.layer.v1.tar",
        "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
        "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    },
    "docker": {
        "index": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifest": "application/vnd.docker.distribution.manifest.v2+json",
        "config": "application/vnd.docker.container.image.v1+json",
        "plain": "application/vnd.docker.image.rootfs.diff.tar",
        "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
    },
}
HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def entry(path, type=tarfile.REGTYPE, content=b"", link="", pax=None, **more):
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = type, link, 0o644
    info.pax_headers = pax or {}
    for key, value in more.items():
        setattr(info, key, value)
    if "size" not in more:
        info.size = len(content)
    return info, content


def folder(path, **more):
    return entry(path, tarfile.DIRTYPE, **{"mode": 0o755, **more})


def symlink(path, target, **more):
    return entry(path, tarfile.SYMTYPE, link=target, **more)


def hard_link(path, target, **more):
    return entry(path, tarfile.LNKTYPE, link=target, **more)


def make_tar(entries, format=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def compress(data, how):
    if how == "plain":
        return data
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    return subprocess.run(["zstd", "-q", "-1"], input=data, stdout=subprocess.PIPE, check=True).stdout


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    def __init__(self, path):
        self.path = path
        self.tags = []
        os.makedirs(os.path.join(path, "blobs", "sha256"), exist_ok=True)

    def blob(self, data, type):
        digest = digest_of(data)
        with open(self.file(digest), "wb") as file:
            file.write(data)
        return {"mediaType": type, "digest": digest, "size": len(data)}

    def file(self, digest):
        return os.path.join(self.path, "blobs", digest.replace(":", "/"))

    def layer(self, tar, how="gzip", family="oci"):
        """A layer's descriptor; its diff id goes along under a key that is taken out again."""
        descriptor = self.blob(compress(tar, how), TYPES[family][how])
        return {**descriptor, "diff_id": digest_of(tar)}

    def image(self, layers, config=None, family="oci", os="linux", architecture=HERE, variant=None, **more):
        text = {"os": os, "architecture": architecture, "config": config or {"Cmd": ["true"]},
                "rootfs": {"type": "layers", "diff_ids": [layer["diff_id"] for layer in layers]}}
        if variant:
            text["variant"] = variant
        config = self.blob(json.dumps(text).encode(), TYPES[family]["config"])
        layers = [{k: v for k, v in layer.items() if k != "diff_id"} for layer in layers]
        manifest = {"schemaVersion": 2, "mediaType": TYPES[family]["manifest"], "config": config,
                    "layers": layers, **more}
        descriptor = self.blob(json.dumps(manifest).encode(), TYPES[family]["manifest"])
        where = {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})}
        return {**descriptor, "platform": where}

    def index(self, images, family="oci"):
        index = {"schemaVersion": 2, "mediaType": TYPES[family]["index"], "manifests": images}
        return self.blob(json.dumps(index).encode(), TYPES[family]["index"])

    def tag(self, name, descriptor):
        self.tags.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}})
        with open(os.path.join(self.path, "oci-layout"), "w") as file:
            file.write('{"imageLayoutVersion":"1.0.0"}')
        with open(os.path.join(self.path, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "manifests": self.tags}, file)
