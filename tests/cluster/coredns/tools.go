//go:build tools

// Package coredns names CoreDNS, so that go.mod and go.sum hold exactly what
// building it needs.
package coredns

import _ "github.com/coredns/coredns"
