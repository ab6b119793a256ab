package container

import (
	"slices"

	"github.com/berth-run/berth/internal/steps"
)

// Failpoints names the failpoints of all operations on containers, from their plans.
func Failpoints() []string {
	m, c := &Manager{}, &Container{}
	return slices.Concat(
		steps.Points("CreateContainer", m.createPlan(&creation{Container: c}), false),
		steps.Points("StartContainer", m.startPlan(c, nil), false),
		steps.Points("StopContainer", m.stopPlan(c, nil, nil), false),
		steps.Points("RemoveContainer", m.removePlan(c), true),
		steps.Points("ContainerExit", m.exitPlan(c), false),
		steps.Points("Exec", (&execution{m: m, c: c}).plan(), false),
	)
}
