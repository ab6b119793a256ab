package cgroups

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-run/berth/shim/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// blkioFiles are the names of v1's files in the order of the fields of BlkIOStat, from 1.
var blkioFiles = strings.Fields(`io_service_bytes_recursive io_serviced_recursive io_queued_recursive
	io_service_time_recursive io_wait_time_recursive io_merged_recursive time_recursive sectors_recursive`)

// blkio is BlkIOStat: the figures of the first layer that has any. Which layer has figures depends on the kernel
// and on the disks' scheduler: the CFQ scheduler, which Linux 5.0 removed, the throttling that every disk has, or the
// BFQ scheduler.
func blkio(dir string, name func(number string) string) []byte {
	for _, layer := range []string{"blkio.", "blkio.throttle.", "blkio.bfq."} {
		var m []byte
		for i, file := range blkioFiles {
			m = blkioEntries(m, protowire.Number(i+1), filepath.Join(dir, layer+file), name)
		}
		if m != nil {
			return m
		}
	}
	return nil
}

// blkioEntries appends a BlkIOEntry for each line "8:0 Read 4096" or "8:0 4096". The line "Total 4096", which sums
// up all devices, has no device and is left out.
func blkioEntries(m []byte, num protowire.Number, path string, name func(number string) string) []byte {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 2 {
			words = []string{words[0], "", words[1]}
		}
		if len(words) != 3 {
			continue
		}
		v, ok := number(words[2])
		if !ok {
			continue
		}
		entry := pb.String(pb.String(nil, 1, words[1]), 2, name(words[0]))
		if entry, ok = device(entry, 3, words[0]); ok {
			m = pb.Bytes(m, num, pb.Uint(entry, 5, v))
		}
	}
	return m
}

// device appends the major and the minor number of "8:0" as field num and the next one; ok reports whether dev is
// such a pair.
func device(b []byte, num protowire.Number, dev string) (_ []byte, ok bool) {
	major, minor, _ := strings.Cut(dev, ":")
	x, ok1 := number(major)
	y, ok2 := number(minor)
	return pb.Uint(pb.Uint(b, num, x), num+1, y), ok1 && ok2
}

// deviceName gives "/dev/sda" for "8:0", and "" for a device that is not there any more.
func deviceName(number string) string {
	target, err := os.Readlink(filepath.Join("/sys/dev/block", filepath.Base(number)))
	if err != nil {
		return ""
	}
	// sysfs has "!" for "/" in the name of a device.
	return "/dev/" + strings.ReplaceAll(filepath.Base(target), "!", "/")
}
