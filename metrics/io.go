package metrics

import (
	"bytes"
	"fmt"
	"sort"
)

// DeviceIO is what a cgroup read from and wrote to one block device. Writes through
// the page cache count for a cgroup only on v2.
type DeviceIO struct {
	// Device is "major:minor", Name the kernel's name of it ("sda"), which the sampler adds.
	Device string
	Name   string `json:"-"`
	// Bytes and operations by direction.
	ReadBytes, WriteBytes, DiscardBytes uint64
	Reads, Writes, Discards             uint64
}

func readIO(f *files, g group, s *Sample) error {
	devices := map[string]*DeviceIO{}
	at := func(dev []byte) *DeviceIO {
		d, ok := devices[string(dev)]
		if !ok {
			d = &DeviceIO{Device: string(dev)}
			devices[d.Device] = d
		}
		return d
	}
	read := readIO1
	if g.unified {
		read = readIO2
	}
	if err := read(f, g.dir("blkio"), at); err != nil {
		return err
	}
	if len(devices) == 0 {
		return nil
	}
	s.IO = make([]DeviceIO, 0, len(devices))
	for _, d := range devices {
		s.IO = append(s.IO, *d)
	}
	sort.Slice(s.IO, func(i, j int) bool { return s.IO[i].Device < s.IO[j].Device })
	return nil
}

// readIO1 takes the throttling layer's counters, which every scheduler has.
func readIO1(f *files, dir string, at func([]byte) *DeviceIO) error {
	err := blkio(f, dir, "blkio.throttle.io_service_bytes_recursive", func(dev, op []byte, v uint64) {
		d := at(dev)
		switch string(op) {
		case "Read":
			d.ReadBytes = v
		case "Write":
			d.WriteBytes = v
		case "Discard":
			d.DiscardBytes = v
		}
	})
	if err != nil {
		return err
	}
	return blkio(f, dir, "blkio.throttle.io_serviced_recursive", func(dev, op []byte, v uint64) {
		d := at(dev)
		switch string(op) {
		case "Read":
			d.Reads = v
		case "Write":
			d.Writes = v
		case "Discard":
			d.Discards = v
		}
	})
}

// blkio calls fn for each line "8:0 Read 4096"; the line "Total 4096" is left out.
func blkio(f *files, dir, name string, fn func(dev, op []byte, v uint64)) error {
	b, err := f.read(dir, name)
	if err != nil {
		return err
	}
	for _, line := range bytes.Split(b, []byte{'\n'}) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		v, err := number(fields[2])
		if err != nil {
			return fmt.Errorf("%s/%s: line %q: %w", dir, name, line, err)
		}
		fn(fields[0], fields[1], v)
	}
	return nil
}

// readIO2 reads lines like "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".
func readIO2(f *files, dir string, at func([]byte) *DeviceIO) error {
	b, err := f.read(dir, "io.stat")
	if err != nil {
		return err
	}
	for _, line := range bytes.Split(b, []byte{'\n'}) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		d := at(fields[0])
		for _, kv := range fields[1:] {
			key, val, _ := bytes.Cut(kv, []byte{'='})
			into := d.field(string(key))
			if into == nil {
				continue
			}
			if *into, err = number(val); err != nil {
				return fmt.Errorf("%s/io.stat: line %q: %w", dir, line, err)
			}
		}
	}
	return nil
}

// field is where a key of io.stat belongs; nil for keys of other features (io.cost).
func (d *DeviceIO) field(key string) *uint64 {
	switch key {
	case "rbytes":
		return &d.ReadBytes
	case "wbytes":
		return &d.WriteBytes
	case "dbytes":
		return &d.DiscardBytes
	case "rios":
		return &d.Reads
	case "wios":
		return &d.Writes
	case "dios":
		return &d.Discards
	}
	return nil
}
