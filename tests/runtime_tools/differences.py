"""Where runtimes differ in these programs, each with its reason; `make runtime-test` fails on any other.

The programs are from 2018 to 2025 and test for version 1 of cgroups; some ask for what the specification has
since changed or never said.
"""

# Programs that nobody passes here, and why.
UNPASSABLE: dict[str, str] = {}
# Programs that another runtime passes and ours does not, and why.
OURS: dict[str, str] = {}
