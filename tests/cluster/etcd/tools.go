//go:build tools

// Package etcd names etcd, so that go.mod and go.sum hold exactly what building
// it needs.
package etcd

import _ "go.etcd.io/etcd/server/v3"
