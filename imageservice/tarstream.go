package imageservice

import "io"

// tarStream lets content be taken out of an archive that archive/tar reads: it then gets as many zeros,
// which it skips.
type tarStream struct {
	r       io.Reader
	request int   // how much was asked for last
	skip    int64 // what was taken and is to be skipped
}

// tarBlock is the unit of an archive.
const tarBlock = 512

// atContent tells that the header of an entry was read last, and nothing after it. archive/tar
// reads block by block; if it read ahead one day, nothing could be taken.
func (t *tarStream) atContent() bool { return t.skip == 0 && t.request > 0 && t.request <= tarBlock }

// take reads content in place of archive/tar.
func (t *tarStream) take(content []byte) error {
	if _, err := io.ReadFull(t.r, content); err != nil {
		if err == io.EOF && len(content) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	t.skip = int64(len(content))
	return nil
}

// Read implements io.Reader.
func (t *tarStream) Read(p []byte) (int, error) {
	if t.skip > 0 {
		n := int(min(int64(len(p)), t.skip))
		clear(p[:n])
		t.skip -= int64(n)
		return n, nil
	}
	t.request = len(p)
	return t.r.Read(p)
}
