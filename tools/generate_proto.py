"""Generate the CRI stubs beside api/runtime/v1/api.proto (``make proto``).

    generate_proto.py [DIRECTORY]

DIRECTORY is the root that receives ``api/runtime/v1/api_pb2*.py`` and ``.pyi``; the checkout itself unless
given. The output depends on the versions of grpcio-tools and mypy-protobuf, which constraints.txt pins.

Of what the gRPC plugins write only the stubs of clients are kept: the daemon makes its handlers from the
descriptors (cri/server.py), and nothing derives from servicers, whose methods only say that they are missing.
"""

import ast
import sys
import sysconfig
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

CHECKOUT = Path(__file__).resolve().parent.parent
PROTO = Path("api/runtime/v1/api.proto")
GENERATED = (
    "api_pb2.py",
    "api_pb2.pyi",
    "api_pb2_grpc.py",
    "api_pb2_grpc.pyi",
)
CUT = "# Cut to the stubs of clients by tools/generate_proto.py.\n"


class GenerationFailed(Exception):
    """protoc or one of its plugins refused the proto; its words went to standard error."""


def generate(output: Path) -> None:
    """Write the four stub files below ``output``, by the proto's path from the checkout.

    The path matters: it is what makes the stubs import each other as ``api.runtime.v1``.

    Raises:
        GenerationFailed: protoc ended with an error.
    """
    plugins = Path(sysconfig.get_path("scripts"))
    status = protoc.main(
        [
            "protoc",
            f"-I{CHECKOUT}",
            f"-I{resources.files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--mypy_grpc_out=quiet:{output}",
            str(PROTO),
        ]
    )
    if status:
        raise GenerationFailed(f"protoc ended with status {status} on {PROTO}")
    for name in GENERATED:
        if name.startswith("api_pb2_grpc."):
            path = output / PROTO.parent / name
            path.write_text(CUT + clients_only(path.read_text()))


def clients_only(source: str) -> str:
    """A generated module without servicers, what adds them to servers, and the experimental API."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not _is_of_clients(node):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            while first and (not lines[first - 1].strip() or lines[first - 1].startswith("#")):
                first -= 1
            del lines[first : node.end_lineno]
    return "".join(lines)


def _is_of_clients(node: ast.ClassDef | ast.FunctionDef) -> bool:
    return isinstance(node, ast.ClassDef) and (node.name.endswith("Stub") or node.name.startswith("_"))


def main() -> int:
    """Generate into the directory that the command line names."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT
    try:
        generate(output)
    except GenerationFailed as error:
        sys.stderr.write(f"generate_proto: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
