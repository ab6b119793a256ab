// Package effect describes what Berth builds outside of its own memory for a pod or a container, one type an
// effect: a directory, a cgroup, namespaces, a writable layer, a shim.
//
// An [Effect] has the few fields that it may touch, and a name. Its Remove is idempotent and needs nothing but
// the object's record, so that it works on an object that is half built, on one that a killed daemon left
// behind, and a second time. A [Plan] is a value made of effects, in the order in which they are made and, from
// the end, removed; For ties a plan to one object, and package steps carries it out.
//
// The name of an effect appears in errors, in metrics, and in the names of failpoints
// (OPERATION/NAME/do|undo/before|after): every effect of every plan is broken at its four boundaries by the
// crash matrix (test/faults).
package effect

import (
	"context"

	"github.com/berth-run/berth/internal/steps"
)

// Effect is one thing that is made for an object of type T, and removed.
type Effect[T any] interface {
	Maker[T]
	Remover[T]
}

// Maker makes something that nothing has to be removed for, such as a mark in the object's record.
type Maker[T any] interface {
	// Name is a short constant word ("network", "shim").
	Name() string
	// Make makes the effect. It is called at most once for an object.
	Make(ctx context.Context, of T) error
}

// Remover removes something that is made elsewhere, such as a pod's containers.
type Remover[T any] interface {
	// Name is a short constant word ("network", "shim").
	Name() string
	// Remove removes the effect, whether or not it is there, from what the object's record says.
	Remove(ctx context.Context, of T) error
}

// Plan is a part of a plan: an effect, a [Seq] or a [Par].
type Plan[T any] interface {
	// For gives the steps of the plan for one object.
	For(of T) steps.Node
}

// Seq is made in order and removed in reverse.
type Seq[T any] []Plan[T]

// Par is made side by side, and removed side by side.
type Par[T any] []Plan[T]

// For implements [Plan].
func (s Seq[T]) For(of T) steps.Node {
	out := make(steps.Seq, len(s))
	for i, p := range s {
		out[i] = p.For(of)
	}
	return out
}

// For implements [Plan].
func (p Par[T]) For(of T) steps.Node { return steps.Par(Seq[T](p).For(of).(steps.Seq)) }

// Of is a plan of one effect.
func Of[T any](e Effect[T]) Plan[T] { return one[T]{name: e.Name(), make: e.Make, remove: e.Remove} }

// Made is a plan whose way back does nothing.
func Made[T any](m Maker[T]) Plan[T] { return one[T]{name: m.Name(), make: m.Make} }

// Removed is a plan whose way there does nothing.
func Removed[T any](r Remover[T]) Plan[T] { return one[T]{name: r.Name(), remove: r.Remove} }

type action[T any] func(context.Context, T) error

// one is a plan of one effect; make or remove may be nil.
type one[T any] struct {
	name         string
	make, remove action[T]
}

// For implements [Plan].
func (o one[T]) For(of T) steps.Node {
	return steps.Step{Name: o.name, Do: o.make.with(of), Undo: o.remove.with(of)}
}

func (a action[T]) with(of T) func(context.Context) error {
	if a == nil {
		return nil
	}
	return func(ctx context.Context) error { return a(ctx, of) }
}
