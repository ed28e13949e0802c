# Goes before the commands of docs/kubernetes.md in a guest without network: what those that fetch would bring.
set -eu
export KUBECONFIG=/etc/kubernetes/admin.conf

# kubeadm wants an address and a default route.
ip link add eth0 type dummy
ip address add 192.0.2.10/24 dev eth0
ip link set eth0 up
ip route add default via 192.0.2.1
echo nameserver 192.0.2.53 >/etc/resolv.conf
sed -i "/^127.0.1.1/d" /etc/hosts
echo "192.0.2.10 $(hostname)" >>/etc/hosts

dpkg --install /root/podwright.deb
systemctl daemon-reload
systemctl enable --now kubelet.service
podwright node-config crictl >/etc/crictl.yaml
for archive in /root/images/*.tar; do
    podwright image import "$archive"
done

# The processor is emulated: everything waits longer than it would, and nobody stands for election in vain.
patience() {
    cat >timeouts <<'EOT'
timeouts:
  controlPlaneComponentHealthCheck: 60m
  kubeletHealthCheck: 60m
  kubernetesAPICall: 60m
  tlsBootstrap: 60m
  etcdAPICall: 60m
EOT
    cat >alone <<'EOT'
controllerManager: {extraArgs: [{name: leader-elect, value: "false"}]}
scheduler: {extraArgs: [{name: leader-elect, value: "false"}]}
EOT
    sed -i -e '/^kind: InitConfiguration$/r timeouts' -e '/^kind: ClusterConfiguration$/r alone' kubeadm.yaml
}
kubeadm() {
    [ "$1" != init ] || patience
    command kubeadm "$@"
}

# What is left for the judgement, however this ends.
report() {
    kubectl get nodes -o json >"$RESULTS/nodes.json" || true
    kubectl get pods -A -o json >"$RESULTS/pods.json" || true
    kubectl get events -A >"$RESULTS/events.txt" || true
    crictl --timeout 60s ps -a >"$RESULTS/containers.txt" || true
    for unit in kubelet podwright; do
        journalctl --no-pager --unit "$unit" >"$RESULTS/$unit.log"
    done
}
trap report EXIT
# Long silences are explained.
while sleep 120; do
    uptime
    crictl --timeout 60s ps -a || true
done &
cd /root
