package metrics

import (
	"context"
	"time"
)

// endedPause is how long what is kept open of cgroups may outlive them: so many that end together cost one pass.
const endedPause = 2 * time.Second

// Ended tells the sampler that a pod or a container has ended or is gone. A pass closes what is kept open of
// objects that are gone, and an open directory keeps a removed cgroup in the kernel, its memory with it: if
// nobody asks for figures soon, the sampler makes a pass of its own.
func (s *Sampler) Ended() {
	if s.handles.open.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil && !s.closed {
		s.ended = time.AfterFunc(endedPause, s.closeEnded)
	}
}

func (s *Sampler) closeEnded() {
	s.mu.Lock()
	s.ended = nil
	s.mu.Unlock()
	s.sample(context.Background(), containerStats)
}
