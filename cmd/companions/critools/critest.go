// Package critools exists to pin what critest, the CRI validation suite, is
// made of. The suite is a package with nothing but a test file, which a tool
// directive cannot name, so its imports are named here; the top Makefile
// builds it with "go test -c sigs.k8s.io/cri-tools/cmd/critest".
package critools

import (
	_ "github.com/onsi/ginkgo/v2"
	_ "github.com/onsi/ginkgo/v2/types"
	_ "github.com/onsi/gomega"
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/common"
	_ "sigs.k8s.io/cri-tools/pkg/framework"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
	_ "sigs.k8s.io/cri-tools/pkg/version"
)
