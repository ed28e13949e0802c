#!/bin/sh
# Starts minikube on this machine itself, as root, with Podwright as the runtime: ./minikube-start.sh [MINIKUBE FLAGS]
#
# minikube knows docker, containerd and CRI-O. It asks CRI-O for its version and cgroup driver by the command
# "crio", restarts the unit "crio", edits a file below /etc/crio, and does everything else over the socket. So
# here the unit and the command get those names. Pod networks need the CNI plugins in /opt/cni/bin.
#
# "minikube image load|save|build" do not work, they call podman: use "podwright image import". "minikube pause"
# does not either, it calls runc in a directory of CRI-O's.
set -eu

stand_in=/usr/local/bin/crio
found=$(command -v crio || true)
if [ -n "$found" ] && ! grep -q 'stands in for CRI-O' "$found"; then
    echo "$0: $found is there: remove CRI-O first, or let minikube use that" >&2
    exit 1
fi

mkdir -p /etc/crio/crio.conf.d "${stand_in%/*}"
touch /etc/crio/crio.conf.d/02-crio.conf
cat >"$stand_in" <<'CRIO'
#!/bin/sh
# podwright stands in for CRI-O where minikube asks.
case "${1-}" in
--version) echo 'crio version @VERSION@' ;;
config) echo 'cgroup_manager = "@CGROUP_DRIVER@"' ;;
*) echo "crio: this is podwright's stand-in for minikube: --version and config only" >&2 && exit 2 ;;
esac
CRIO
chmod 755 "$stand_in"
ln -sfn "$(systemctl show --property=FragmentPath --value podwright.service)" /etc/systemd/system/crio.service
systemctl daemon-reload

exec minikube start \
    --driver=none \
    --container-runtime=cri-o \
    --cri-socket=@SOCKET@ \
    --cni=bridge \
    --preload=false \
@CGROUP_FLAGS@    "$@"
