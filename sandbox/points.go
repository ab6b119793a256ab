package sandbox

import (
	"slices"

	"github.com/berth-run/berth/internal/steps"
)

// Failpoints names the failpoints of all operations on pods, from their plans.
func Failpoints() []string {
	m, s := &Manager{}, &Sandbox{}
	return slices.Concat(
		steps.Points("RunPodSandbox", m.plan(s), false),
		steps.Points("StopPodSandbox", m.stopPlan(s), true),
		steps.Points("RemovePodSandbox", m.removePlan(s), true),
		steps.Points("RecoverPodSandbox", m.removePlan(s), true),
	)
}
