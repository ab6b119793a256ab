package index

import (
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Entry is what a list of the CRI shows of an object.
type Entry struct {
	// State is the object's, in the numbers of the CRI.
	State int32
	// Wire is its element of the list, encoded, with tag and length. Not to be changed.
	Wire []byte
}

// Decode is the way back, for who asks for one object alone.
func (e Entry) Decode(into proto.Message) error {
	_, _, head := protowire.ConsumeTag(e.Wire)
	raw, n := protowire.ConsumeBytes(e.Wire[max(head, 0):])
	if head < 0 || n < 0 {
		return fmt.Errorf("decode an entry of a list: %w", protowire.ParseError(min(head, n)))
	}
	return proto.Unmarshal(raw, into)
}

// Cached keeps an object's entry: it is made anew only when the state has changed.
// Kubelets list once a second, and next to nothing changes in between.
type Cached struct{ last atomic.Pointer[Entry] }

// Entry is the object's entry in this state; describe is called when there is none yet.
func (c *Cached) Entry(state int32, describe func() proto.Message) (Entry, error) {
	if e := c.last.Load(); e != nil && e.State == state {
		return *e, nil
	}
	e, err := Encode(state, describe())
	if err != nil {
		return Entry{}, err
	}
	c.last.Store(&e)
	return e, nil
}

// Encode makes the entry of an object in a state.
func Encode(state int32, m proto.Message) (Entry, error) {
	raw, err := proto.Marshal(m)
	if err != nil {
		return Entry{}, fmt.Errorf("encode for a list: %w", err)
	}
	wire := protowire.AppendTag(make([]byte, 0, len(raw)+Overhead), ListField, protowire.BytesType)
	return Entry{State: state, Wire: protowire.AppendBytes(wire, raw)}, nil
}

// Overhead is what the wire form of an entry may take beyond its message, in bytes.
const Overhead = 6

// ListField is the number of the field that has the elements: the same in all responses
// that list pods or containers, or their stats.
const ListField = 1
