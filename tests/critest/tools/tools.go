//go:build tools

// Package tools names the programs that the conformance tests are made of, so
// that go.mod and go.sum hold exactly what building them needs.
package tools

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
	_ "sigs.k8s.io/cri-tools/cmd/critest"
)
