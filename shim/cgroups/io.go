package cgroups

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berth-run/berth/shim/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxDevices bounds how many lines of a file about block devices are read.
const maxDevices = 4096

// blkio is the message BlkIOStat of cgroup v1: bytes and requests for each device and direction. It is there also
// when nothing was read or written, since clients look into it.
func (g Group) blkio() (m []byte) {
	dir := g.Dirs["blkio"]
	m = blkioEntries(m, 1, filepath.Join(dir, "blkio.throttle.io_service_bytes_recursive"))
	return blkioEntries(m, 2, filepath.Join(dir, "blkio.throttle.io_serviced_recursive"))
}

// blkioEntries appends an entry for each line "MAJOR:MINOR OPERATION VALUE" of a file.
func blkioEntries(m []byte, num protowire.Number, path string) []byte {
	eachDevice(path, func(major, minor uint64, fields []string) {
		if len(fields) != 2 {
			return
		}
		value, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return
		}
		e := pb.String(nil, 1, fields[0])
		e = pb.String(e, 2, deviceName(major, minor))
		e = pb.Uint(e, 3, major)
		e = pb.Uint(e, 4, minor)
		m = pb.Bytes(m, num, pb.Uint(e, 5, value))
	})
	return m
}

// io is the message IOStat of cgroup v2, from lines "MAJOR:MINOR rbytes=N wbytes=N rios=N wios=N …".
func (g Group) io() (m []byte) {
	keys := map[string]protowire.Number{"rbytes": 3, "wbytes": 4, "rios": 5, "wios": 6}
	eachDevice(filepath.Join(g.Dirs[""], "io.stat"), func(major, minor uint64, fields []string) {
		e := pb.Uint(nil, 1, major)
		e = pb.Uint(e, 2, minor)
		for _, f := range fields {
			key, text, _ := strings.Cut(f, "=")
			if n, err := strconv.ParseUint(text, 10, 64); err == nil && keys[key] != 0 {
				e = pb.Uint(e, keys[key], n)
			}
		}
		m = pb.Bytes(m, 1, e)
	})
	return m
}

// eachDevice calls take for each line of a file that begins with the number of a block device.
func eachDevice(path string, take func(major, minor uint64, fields []string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for n := 0; n < maxDevices && s.Scan(); n++ {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 {
			continue
		}
		before, after, ok := strings.Cut(fields[0], ":")
		major, err1 := strconv.ParseUint(before, 10, 32)
		minor, err2 := strconv.ParseUint(after, 10, 32)
		if ok && err1 == nil && err2 == nil {
			take(major, minor, fields[1:])
		}
	}
}

// deviceName is the path of a block device, empty when the kernel does not tell.
func deviceName(major, minor uint64) string {
	target, err := os.Readlink("/sys/dev/block/" + strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10))
	if err != nil {
		return ""
	}
	return "/dev/" + filepath.Base(target)
}

// perCPU appends the values of a file with one line of numbers as a packed field.
func perCPU(m []byte, num protowire.Number, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return m
	}
	var packed []byte
	for text := range strings.FieldsSeq(string(data)) {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return m
		}
		packed = protowire.AppendVarint(packed, n)
	}
	return pb.Bytes(m, num, packed)
}
