# A node of kind whose kubelet uses Podwright. Put its Debian package (podwright_*.deb) beside this file, then
#   docker build -t @IMAGE@ . && kind create cluster --config cluster.yaml
#
# kind knows only containerd, which stays installed here and is not started. Hence
# - "kind load" does not work. In its place: docker save NAME | docker exec -i NODE podwright image import -
# - the images inside the node image lie in containerd's store: the first start pulls them from their registries;
# - containerdConfigPatches of a cluster file have no effect, podwright.conf has;
# - "kind export logs" brings containerd's journal: docker exec NODE journalctl -u podwright
ARG NODE_IMAGE=kindest/node:v1.36.1
FROM ${NODE_IMAGE}
COPY podwright_*.deb /tmp/
RUN apt-get update \
    && apt-get install --yes --no-install-recommends dbus /tmp/podwright_*.deb \
    && rm -rf /tmp/podwright_*.deb /var/lib/apt/lists/*
COPY podwright.conf /etc/podwright/podwright.conf
COPY crictl.yaml /etc/crictl.yaml
RUN systemctl disable containerd.service \
    && systemctl enable podwright.service \
    && echo KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/podwright.service >/etc/default/kubelet
