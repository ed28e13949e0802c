//go:build tools

// Package tools names the kubelet, so that go.mod and go.sum hold exactly what
// building it needs.
package tools

import _ "k8s.io/kubernetes/cmd/kubelet"
