#!/bin/sh
# As much of docker as kind asks for until it has written kubeadm's configuration into a node, below $STATE.
case "$*" in
-v) echo "Docker version 29" ;;
"info --format {{json .}}") echo '{"CgroupVersion": "2", "MemoryLimit": true, "PidsLimit": true, "CPUShares": true}' ;;
*'{{.ID}}') echo 1 ;;
"network inspect 1") echo '[{"Id": "1", "Name": "kind"}]' ;;
"run --name "*) mkdir "$STATE/$3" ;;
*'{{.Names}}') ls "$STATE" ;;
"logs -f "*) echo "Reached target Multi-User System." ;;
inspect*role*worker) echo worker ;;
inspect*role*) echo control-plane ;;
inspect*IPAddress*) echo "172.18.0.2," ;;
*" cat /kind/version") echo v1.36.1 ;;
*" cp /dev/stdin /kind/kubeadm.conf") cat >"$STATE/$4/kubeadm.conf" ;;
*" kubeadm init "*) exit 1 ;;
esac
