#!/usr/bin/python3
"""registry_images.py FOLDER: OCI layouts for the tests of registries, each with an image "1": right ones in every
encoding, and ones that are wrong in one thing."""
import json
import random
import sys
import tarfile

from oci import HERE, TYPES, Layout, compress, digest_of, entry, make_tar

noise = random.Random(7)


def layer_tar(number, size=150000):
    return make_tar([entry("data-%d" % number, content=noise.randbytes(size)),
                     entry("number", content=b"%d" % number)])


TARS = [layer_tar(i) for i in range(3)]
SMALL = make_tar([entry("small", content=b"small")])
OTHER = next(name for name in ("amd64", "arm64") if name != HERE)


def layout(name):
    return Layout(sys.argv[1] + "/" + name)


def simple(name, how="gzip", family="oci", tars=TARS, **more):
    made = layout(name)
    made.tag("1", made.image([made.layer(tar, how, family) for tar in tars], family=family, **more))


def changed(name, change, tar=SMALL, how="gzip"):
    """An image whose layer's descriptor, or the rest, change() makes wrong."""
    made = layout(name)
    layer = made.layer(tar, how)
    made.tag("1", made.image([change(made, layer) or layer]))


def rewritten(name, key, value):
    """A manifest with one value set."""
    made = layout(name)
    descriptor = made.image([made.layer(SMALL)])
    manifest = json.load(open(made.file(descriptor["digest"])))
    at = manifest
    for step in key[:-1]:
        at = at[step]
    at[key[-1]] = value
    made.tag("1", made.blob(json.dumps(manifest).encode(), TYPES["oci"]["manifest"]))


def multi(name, family="oci", nested=False):
    made = layout(name)
    images = []
    for os, architecture, variant, text in [("linux", OTHER, None, b"other"), ("linux", "arm", "v6", b"v6"),
                                            ("linux", "arm", "v7", b"v7"), ("windows", HERE, None, b"windows"),
                                            ("linux", HERE, None, b"here")]:
        layer = made.layer(make_tar([entry("which", content=text)]), family=family)
        images.append(made.image([layer], family=family, os=os, architecture=architecture, variant=variant,
                                 config={"Labels": {"which": text.decode()}}))
    images.append(made.image([made.layer(SMALL, family=family)], family=family, os="unknown", architecture="unknown"))
    index = made.index(images, family)
    if nested:
        index = made.index([{**index, "platform": images[-2]["platform"]}], family)
    made.tag("1", index)


def blob_of(made, data, diff_id):
    return {**made.blob(data, TYPES["oci"]["gzip"]), "diff_id": diff_id}


def flipped(data):
    return data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 0x55]) + data[len(data) // 2 + 1:]


simple("big")
simple("small", tars=[SMALL])
simple("one", tars=TARS[:1])
simple("implied", tars=[make_tar([entry("data-d", tarfile.DIRTYPE, mode=0o1777)]), TARS[0],
                        make_tar([entry("data-d/x", content=noise.randbytes(150000))])])
simple("again", tars=[TARS[0], SMALL])
simple("plain", how="plain")
simple("zstd", how="zstd")
simple("docker", family="docker")
simple("docker-zstd", how="zstd", family="docker")
simple("foreign", tars=[SMALL], architecture="s390x")
multi("multi")
multi("multi-docker", family="docker")
multi("nested", nested=True)
changed("size-more", lambda made, layer: {**layer, "size": layer["size"] + 10})
changed("size-less", lambda made, layer: {**layer, "size": layer["size"] - 10})
changed("type-lz4", lambda made, layer: {**layer, "mediaType": "application/vnd.oci.image.layer.v1.tar+lz4"})
changed("type-config", lambda made, layer: {**layer, "mediaType": TYPES["oci"]["config"]})
changed("diff-id", lambda made, layer: {**layer, "diff_id": "sha256:" + "1" * 64})
changed("gzip-cut", lambda made, layer: blob_of(made, compress(TARS[0], "gzip")[:-100], digest_of(TARS[0])))
changed("gzip-flip", lambda made, layer: blob_of(made, flipped(compress(TARS[0], "gzip")), digest_of(TARS[0])))
changed("zstd-cut", lambda made, layer: blob_of(made, compress(TARS[0], "zstd")[:-100], digest_of(TARS[0])))
changed("tar-cut", lambda made, layer: blob_of(made, compress(TARS[0][:-30000], "gzip"), digest_of(TARS[0][:-30000])))
rewritten("schema1", ["schemaVersion"], 1)
rewritten("type-escape", ["layers", 0, "mediaType"], "application/\x1b[31m\x9b31m\x7f")
rewritten("artifact", ["config", "mediaType"], "application/vnd.oci.empty.v1+json")
rewritten("digest-bad", ["layers", 0, "digest"], "sha256:../../../../etc/passwd")
rewritten("digest-md5", ["layers", 0, "digest"], "md5:d41d8cd98f00b204e9800998ecf8427e")
rewritten("layer-gone", ["layers", 0, "digest"], "sha256:" + "2" * 64)
rewritten("two-kinds", ["manifests"], [])
made = layout("json")
made.tag("1", made.blob(b'{"schemaVersion": 2, ', TYPES["oci"]["manifest"]))
made = layout("count")
layers = [made.layer(SMALL), made.layer(TARS[0])]
made.tag("1", made.image([layers[0]]))
descriptor = made.image(layers)
manifest = json.load(open(made.file(descriptor["digest"])))
del manifest["layers"][1]
made.tags = []
made.tag("1", made.blob(json.dumps(manifest).encode(), TYPES["oci"]["manifest"]))
