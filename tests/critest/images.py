"""The images that critest pulls, rebuilt from Debian packages and kept in a registry directory of the cache.

critest compiles the names in; registries.conf leads each public registry to the loopback one. What an image
must contain is in the suite's own sources: a busybox whose applets are hard links (the spec that masks
/bin/ls would mask the whole of a symlinked busybox), a setuid program, users and groups, exact tags.
"""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.harness.cache import cached, key_of, prefetched
from tests.harness.debian import find, unpacked
from tests.harness.images import Entry, Image, Layer
from tests.harness.registry import Registry

BUSYBOX_PACKAGES = ("busybox", "libc6", "util-linux")
NGINX_PACKAGES = ("nginx", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g")
SETUID_PACKAGES = ("coreutils", "libselinux1", "libpcre2-8-0")

E2E = "registry.k8s.io/e2e-test-images"
STAGING = "gcr.io/k8s-staging-cri-tools"
PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
default-user:x:1000:1000::/home/default-user:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = """\
root:x:0:
tty:x:5:
www-data:x:33:
default-user:x:1000:
nogroup:x:65534:
"""
# procps' pgrep needs nine libraries; the suite asks for this much of it.
PGREP = """\
#!/bin/sh
found=1
for process in /proc/[0-9]*; do
    { read -r name < "$process/comm"; } 2>/dev/null || continue
    case "$name" in *"$1"*) echo "${process#/proc/}"; found=0 ;; esac
done
exit $found
"""
NGINX_CONF = """\
user nobody nogroup;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
    access_log off;
    server {
        listen %d default_server;
        root /www;
        index index.html;
    }
}
"""
# Not `sleep`: a spec looks for a process of that name in the pod's process namespace.
PAUSE = 'trap "exit 0" TERM INT; tail -f /dev/null & wait $!'


def registry_directory() -> Path:
    """A docker-registry directory with every image, from the cache or built now (seconds)."""
    if given := prefetched("images", "critest"):
        return given
    packages = sorted({*BUSYBOX_PACKAGES, *NGINX_PACKAGES, *SETUID_PACKAGES})
    tree, versions = unpacked(packages)
    sources = [
        Path(__file__).read_bytes(),
        Path(__file__).parents[1].joinpath("harness/images.py").read_bytes(),
    ]

    def make(target: Path) -> None:
        print("building the test images: once", flush=True)
        with Registry(target) as registry:
            for name, image in test_images(tree).items():
                registry.push(image, name)

    return cached("images", key_of(versions, *sources), make)


def test_images(tree: Path) -> Mapping[str, Image]:
    """Every image of the suite by its full name; ``tree`` holds the unpacked packages."""
    base = Layer.of(busybox(tree))
    shell = {"Cmd": ["sh"], "Env": [PATH_ENV]}
    nginx = Layer.of(web_server(tree))
    tags = _variant(base, "tags", shell)
    pause = _variant(base, "pause", {"Entrypoint": ["/bin/sh", "-c", PAUSE], "Env": [PATH_ENV]})
    group = Entry("etc/group", f"{GROUP}group-defined-in-image:x:50000:default-user\n".encode(), 0o644)
    images = {
        f"{E2E}/busybox:1.29-2": Image([base], shell),
        f"{E2E}/nginx:1.14-2": _nginx(base, nginx, 80),
        f"{STAGING}/hostnet-nginx-amd64:latest": _nginx(base, nginx, 12003),
        f"{STAGING}/hostnet-nginx-arm64:latest": _nginx(base, nginx, 12003),
        f"{E2E}/httpd:2.4.39-4": Image([base, Layer.of(page("httpd"))], {"Cmd": HTTPD, "Env": [PATH_ENV]}),
        f"{E2E}/nonewprivs:1.3": Image(
            [base, Layer.of(setuid_program(tree))], {"Cmd": NNP, "Env": [PATH_ENV]}
        ),
        f"{STAGING}/test-image-predefined-group:latest": Image(
            [base, Layer.of([group])], {**shell, "User": "1000"}
        ),
        f"{STAGING}/test-image-latest:latest": _variant(base, "latest", shell),
        f"{STAGING}/test-image-tag:test": _variant(base, "tag-test", shell),
        f"{STAGING}/test-image-tag:all": _variant(base, "tag-all", shell),
        "registry.k8s.io/pause:3.9": pause,
        "k8s.gcr.io/pause:3.9": pause,
        "public.ecr.aws/docker/library/busybox:1.35.0-glibc": _variant(base, "benchmark", shell),
    }
    for number in "123":
        images[f"{STAGING}/test-image-{number}:latest"] = _variant(base, f"image-{number}", shell)
        images[f"{STAGING}/test-image-tags:{number}"] = tags
    for name, user in USERS.items():
        images[f"{STAGING}/test-image-user-{name}:latest"] = _variant(base, name, {**shell, "User": user})
    return images


USERS = {"uid": "1002", "username": "www-data", "uid-group": "1003:1004", "username-group": "www-data:1004"}
HTTPD = ["sh", "-c", "echo httpd listens on port 80; exec httpd -f -p 80 -h /www"]
NNP = ["sh", "-c", 'echo "Effective uid: $(/usr/local/bin/nnp -u)"']


def _variant(base: Layer, name: str, config: Mapping[str, object]) -> Image:
    """An image of its own: one small file makes its layers and so its id differ from every other."""
    return Image([base, Layer.of([Entry(f"image-{name}", name.encode(), 0o644)])], config)


def _nginx(base: Layer, nginx: Layer, port: int) -> Image:
    conf = Layer.of([Entry("etc/nginx/nginx.conf", (NGINX_CONF % port).encode(), 0o644)])
    return Image([base, nginx, conf], {"Cmd": ["nginx", "-g", "daemon off;"], "Env": [PATH_ENV]})


def busybox(tree: Path) -> Iterator[Entry]:
    """The base of all images: Debian's dynamic busybox, its libraries, users, and the usual directories."""
    for directory in (
        "bin",
        "etc",
        "root",
        "home",
        "home/default-user",
        "proc",
        "sys",
        "dev",
        "run",
        "usr/bin",
        "var",
    ):
        yield Entry(directory)
    yield Entry("tmp", mode=0o1777)
    yield Entry("var/run", link="/run", mode=0o777)
    program = tree / "bin/busybox"
    yield Entry("bin/busybox", program.read_bytes())
    for applet in _applets(tree, program):
        yield Entry(f"bin/{applet}", link="bin/busybox", hard=True)
    yield from _libraries(tree, "libc.so.6", "libresolv.so.2", "libm.so.6")
    yield _loader(tree)
    yield Entry("bin/ipcs", find(tree, "ipcs").read_bytes())
    yield Entry("bin/pgrep", PGREP.encode())
    yield Entry("etc/passwd", PASSWD.encode(), 0o644)
    yield Entry("etc/group", GROUP.encode(), 0o644)


def web_server(tree: Path) -> Iterator[Entry]:
    """nginx without its configuration."""
    yield Entry("usr/sbin/nginx", find(tree, "nginx").read_bytes())
    libraries = ("libcrypt.so.1", "libpcre2-8.so.0", "libssl.so.3", "libcrypto.so.3", "libz.so.1")
    yield from _libraries(tree, *libraries)
    for directory in ("etc/nginx", "var/log", "var/log/nginx", "var/lib", "var/lib/nginx"):
        yield Entry(directory)
    yield from page("nginx")


def page(name: str) -> Iterator[Entry]:
    yield Entry("www")
    yield Entry("www/index.html", f"<html><body>{name}</body></html>\n".encode(), 0o644)


def setuid_program(tree: Path) -> Iterator[Entry]:
    """A setuid-root program that tells the effective user: coreutils' id."""
    yield Entry("usr/local/bin/nnp", find(tree, "id").read_bytes(), 0o4755)
    yield from _libraries(tree, "libselinux.so.1", "libpcre2-8.so.0")


def _applets(tree: Path, program: Path) -> list[str]:
    loader = find(tree, "ld-linux*.so*")
    command: list[Path | str] = [loader, "--library-path", find(tree, "libc.so.6").parent, program, "--list"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    return sorted(set(listed) - {"busybox", "pgrep", "ipcs"})


def _libraries(tree: Path, *names: str) -> Iterator[Entry]:
    for name in names:
        path = find(tree, name)
        yield Entry(str(path.parent.relative_to(tree) / name).removeprefix("usr/"), path.read_bytes())


def _loader(tree: Path) -> Entry:
    """The program interpreter, at the path that the ABI fixes (``/lib64`` on x86-64, ``/lib`` on arm64)."""
    place = next(path for path in [*tree.glob("lib64/ld-linux*"), *tree.glob("lib/ld-linux*")])
    return Entry(str(place.relative_to(tree)), find(tree, "ld-linux*.so*").read_bytes())
