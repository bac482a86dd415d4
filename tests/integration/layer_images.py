#!/usr/bin/python3
"""layer_images.py FOLDER NAME=TAR...: OCI layouts in FOLDER, one of each tar as it is, and many whose layers say
something special. Every layout has one image, tagged "t"."""
import sys
import tarfile

from oci import Layout, entry, folder, hard_link, make_tar, symlink

NS = {"mtime": "1700000000.123456789"}


def xattr(name, value):
    return {"SCHILY.xattr." + name: value}


def text(path, content, **more):
    return entry(path, content=content.encode(), **more)


def opaque(path):
    return text((path + "/" if path else "") + ".wh..wh..opq", "")


def gone(path):
    head, _, tail = path.rpartition("/")
    return text((head + "/" if head else "") + ".wh." + tail, "")


BASE = [
    folder("a", mode=0o750, uid=1, gid=2, mtime=100), text("a/1", "a1"), text("a/2", "a2"), folder("a/sub"),
    text("a/sub/deep", "deep"), folder("b"), text("b/x", "bx"), folder("b/y"), text("b/y/z", "z"), folder("c"),
    text("c/old", "old"), text("f", "f1"), text("g", "g1"), symlink("lib", "usr/lib"), folder("usr"),
    folder("usr/lib"), text("usr/lib/libc", "libc"), hard_link("usr/lib/libm", "usr/lib/libc"), folder("h"),
    text("h/kept", "kept"), folder("i"), folder("i/j"), text("i/j/k", "k"), text("l", "long", uid=7, mode=0o4755),
]
SECOND = [
    gone("f"), folder("a", mode=0o755, uid=3, gid=4, mtime=200), gone("a/1"), gone("a/sub"), folder("b"), opaque("b"),
    text("b/new", "new"), text("c", "a file now"), folder("g"), text("g/inner", "inner"), folder("h"),
    text("h/more", "more"), symlink("l", "f"), folder("usr"), folder("usr/lib"), gone("usr/lib/libc"),
]
THIRD = [
    text("f", "f3", mtime=300), folder("b"), folder("b/y"), text("b/y/again", "again"), folder("i"), folder("i/j"),
    opaque("i/j"), text("i/j/only", "only"), folder("a"), folder("a/sub"), text("a/sub/back", "back"), gone("h"),
    folder("usr"), folder("usr/lib"), text("usr/lib/libc", "libc3"), folder("c"), text("c/folder", "again"),
]

# Folders that only a path leads through are as the layers below have them.
IMPLIED = [
    [folder("tmp", mode=0o1777), folder("home", mode=0o700, uid=5, gid=6), folder("home/a", mode=0o750, uid=7),
     text("home/a/old", "old"), folder("gone", mode=0o700)],
    [folder("var", gid=8)],
    [text("tmp/x", "x"), text("home/a/new", "new"), text("var/run/y", "y"), gone("gone"), text("gone/z", "z")],
    [text("late", "late"), folder("tmp", mode=0o1777), text("tmp/late", "late")],
]


def image(name, *layers, how="gzip"):
    layout = Layout(sys.argv[1] + "/" + name)
    tars = [layer if isinstance(layer, bytes) else make_tar(layer) for layer in layers]
    layout.tag("t", layout.image([layout.layer(tar, how) for tar in tars]))
    return tars


def special():
    """What a tree on a disk of the test cannot have, or tar(1) does not write."""
    xattrs = {**xattr("user.mime", "text/plain"), **xattr("user.empty", "")}
    return [
        folder(".", mode=0o711, uid=5, gid=6, pax=NS),
        text("ns", "x", pax=NS), text("before", "x", pax={"mtime": "-1.5"}),
        text("far", "x", pax={"mtime": "4400000000.000000001"}),
        text("ids", "x", uid=3000000000, gid=4000000000),
        text("xattrs", "x", pax=xattrs), folder("folder-xattrs", pax=xattrs),
        text("big-xattr", "x", pax=xattr("user.big", "v" * 3000)),
        entry("big-device", tarfile.CHRTYPE, devmajor=200, devminor=300000, mode=0o600),
        folder("n" * 255), text("n" * 255 + "/" + "é" * 127, "long name"),
        symlink("long-link", "t" * 4000), text("strange \n\t\x7f name", "x"),
    ] + [folder("/".join(["deep"] + ["d%d" % i for i in range(n)])) for n in range(150)] + [
        text("/".join(["deep"] + ["d%d" % i for i in range(149)]) + "/file", "deep")]


def many():
    names = ["many/%s%d" % ("name" * (i % 40), i) for i in range(3000)]
    links = [hard_link("links/%d" % i, "many/0") for i in range(200)]
    return [folder("."), folder("many", mtime=1), folder("links")] + [text(name, name, mode=0o600 + i % 64, mtime=i)
                                                         for i, name in enumerate(names)] + links


def hostile():
    passwd = text("passwd", "root::0:0::/:/bin/sh")[0].name
    image("dotdot", [text("a/../../../etc/" + passwd, "x")])
    image("dotdot-link", [text("a", "x"), hard_link("b", "../../etc/passwd")])
    image("symlink-parent", [symlink("etc", "/etc"), text("etc/passwd", "x")])
    image("symlink-up", [symlink("up", "../../../.."), text("up/tmp/x", "x")])
    image("link-out", [hard_link("shadow", "etc/shadow")])
    image("link-through", [symlink("d", "/etc"), hard_link("shadow", "d/shadow")])
    image("link-folder", [folder("d"), hard_link("e", "d")])
    image("root-file", [symlink(".", "/etc")])
    image("whiteout-up", [text("a/.wh...", "")])
    image("long-name", [text("n" * 256, "x")])
    image("unknown-type", [entry("x", b"Z")])
    image("bad-checksum", b"x" * 512 + bytes(1024))
    image("not-a-tar", b"hello")
    cut = make_tar([text("a", "a" * 3000)])
    image("cut", cut[:2048])
    info = tarfile.TarInfo("huge")
    info.size = 1 << 45
    image("huge-size", info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    image("header-bomb", make_tar([text("x", "x", pax={"comment": "c" * (2 << 20)})]))
    image("zstd-cut", make_tar([text("a", "a")]), how="zstd")


def contained():
    """Strange, and harmless in an image."""
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "8tib",
              "GNU.sparse.realsize": str(8 << 40)}
    body = b"1\n%d\n4\n" % ((8 << 40) - 4)
    image("contained", [
        text("/etc/absolute", "inside"), symlink("abs-link", "/etc/absolute"), symlink("up-link", "../../../etc/passwd"),
        text("./a//b/./c", "plain"), entry("8tib", content=body + bytes(512 - len(body)) + b"tail", pax=sparse),
        text("ov", "x", pax={**xattr("trusted.overlay.opaque", "y"), **xattr("user.overlay.redirect", "/etc")}),
        folder("red", pax=xattr("trusted.overlay.redirect", "/etc")),
        entry("kmem", tarfile.CHRTYPE, devmajor=1, devminor=2, mode=0o666),
        text("bomb", "", size=0), text("bomb", "1"), text("bomb", "22"),
    ])


def main():
    for word in sys.argv[2:]:
        name, _, tar = word.partition("=")
        image(name, open(tar, "rb").read())
    for name, layers in {
        "special": [special()], "many": [many()], "whiteouts": [BASE, SECOND, THIRD],
        "root-opaque": [BASE, SECOND + [opaque("")], THIRD],
        "root-opaque-top": [BASE, [opaque(""), text("alone", "x")]],
        "implied": IMPLIED,
        "deep": [BASE, SECOND, THIRD] + [[text("n%d" % i, str(i)), gone("n%d" % (i - 1))] for i in range(11)],
        "deep-opaque": [BASE, SECOND, THIRD] + [[text("n%d" % i, str(i))] + [opaque("")] * (i in (2, 8))
                                                for i in range(11)],
    }.items():
        tars = image(name, *layers)
        for i, tar in enumerate(tars):
            with open("%s/%s/%d.tar" % (sys.argv[1], name, i), "wb") as file:
                file.write(tar)
    hostile()
    contained()


main()
