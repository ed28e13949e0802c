// Command health answers gRPC health checks; HTTP requests turn the answer to the good or the bad.
// It is a part of agnhost, the image of Kubernetes' own tests, all of which would be ten times as large.
package main

import (
	"os"

	grpchealthchecking "k8s.io/kubernetes/test/images/agnhost/grpc-health-checking"
)

func main() {
	if grpchealthchecking.CmdGrpcHealthChecking.Execute() != nil {
		os.Exit(1)
	}
}
