//go:build tools

// Package kind names kind, so that go.mod and go.sum hold exactly what building
// it needs.
package kind

import _ "sigs.k8s.io/kind"
