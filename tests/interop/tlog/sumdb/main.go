// Command sumdb checks what infermesh wrote with the verifiers of Go's checksum database: golang.org/x/mod/sumdb/note and
// golang.org/x/mod/sumdb/tlog.
//
//	sumdb proofs FILE                      every proof of tlog_vectors.c
//	sumdb folder DIR VKEY [CHECKPOINTS]    a log folder, and that each older checkpoint is a prefix of it
//	sumdb proof FILE VKEY                  a .tlog-proof; its record is in the "extra" line
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	var said string
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "proofs":
		said, err = proofs(args[1])
	case len(args) >= 3 && args[0] == "folder":
		said, err = folder(args[1], args[2], args[3:])
	case len(args) == 3 && args[0] == "proof":
		said, err = proof(args[1], args[2])
	default:
		err = fmt.Errorf("usage: sumdb proofs FILE | folder DIR VKEY [CHECKPOINTS] | proof FILE VKEY")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sumdb:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func hashes(text string) ([]tlog.Hash, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%tlog.HashSize != 0 {
		return nil, fmt.Errorf("malformed hashes")
	}
	list := make([]tlog.Hash, len(raw)/tlog.HashSize)
	for i := range list {
		copy(list[i][:], raw[i*tlog.HashSize:])
	}
	return list, nil
}

func proofs(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	roots := map[int64]tlog.Hash{}
	var count [2]int
	var nodes memory
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		word := strings.SplitN(in.Text(), " ", 4)
		size, err := strconv.ParseInt(word[1], 10, 64)
		if err != nil {
			return "", err
		}
		list, err := hashes(word[len(word)-1])
		if err != nil {
			return "", err
		}
		if word[0] == "r" {
			roots[size] = list[0]
			if err := nodes.add(size, list[0]); err != nil {
				return "", err
			}
			continue
		}
		n, err := strconv.ParseInt(word[2], 10, 64)
		if err != nil {
			return "", err
		}
		if word[0] == "i" {
			count[0]++
			err = tlog.CheckRecord(list, size, roots[size], n, tlog.RecordHash([]byte(fmt.Sprintf("leaf %d", n))))
		} else {
			count[1]++
			err = tlog.CheckTree(list, size, roots[size], n, roots[n])
		}
		if err != nil {
			return "", fmt.Errorf("%s %d %d: %v", word[0], size, n, err)
		}
	}
	size := len(roots)
	if count[0] != size*(size+1)/2 || count[1] != count[0] {
		return "", fmt.Errorf("%d and %d proofs for %d sizes: some are missing", count[0], count[1], size)
	}
	return fmt.Sprintf("%d roots, %d inclusion and %d consistency proofs", size, count[0], count[1]), in.Err()
}

// memory is a tree of "leaf N" that sumdb/tlog builds itself.
type memory []tlog.Hash

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = (*m)[at]
	}
	return out, nil
}

func (m *memory) add(size int64, root tlog.Hash) error {
	more, err := tlog.StoredHashes(size-1, []byte(fmt.Sprintf("leaf %d", size-1)), m)
	if err != nil {
		return err
	}
	*m = append(*m, more...)
	own, err := tlog.TreeHash(size, m)
	if err == nil && own != root {
		err = fmt.Errorf("the root of size %d is %v, not %v", size, own, root)
	}
	return err
}

func checkpoint(text []byte, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	line := strings.Split(n.Text, "\n")
	if len(line) != 4 || line[0] != verifier.Name() || line[3] != "" {
		return tlog.Tree{}, fmt.Errorf("not three lines beginning with %q", verifier.Name())
	}
	size, err := strconv.ParseInt(line[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(line[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// files reads tiles as sumdb/tlog wants them; any later version of a partial one will do.
type files string

func (dir files) Height() int { return 8 }

func (dir files) SaveTiles([]tlog.Tile, [][]byte) {}

func (dir files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		name := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := dir.read(name, t.W)
		if err != nil {
			return nil, err
		}
		if len(data) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is too short", name)
		}
		out = append(out, data[:t.W*tlog.HashSize])
	}
	return out, nil
}

func (dir files) read(name string, width int) ([]byte, error) {
	stem := strings.SplitN(name, ".p/", 2)[0]
	data, err := os.ReadFile(filepath.Join(string(dir), stem))
	for ; err != nil && width < 256; width++ {
		data, err = os.ReadFile(filepath.Join(string(dir), stem+".p", strconv.Itoa(width)))
	}
	return data, err
}

func folder(dir, vkey string, older []string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", err
	}
	tree, err := checkpoint(text, vkey)
	if err != nil {
		return "", err
	}
	reader := tlog.TileHashReader(tree, files(dir))
	for first := int64(0); first < tree.N; first += 256 {
		if err := bundle(dir, tree, first, reader); err != nil {
			return "", err
		}
	}
	checked := 0
	for _, folder := range older {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			if err := prefix(filepath.Join(folder, e.Name()), vkey, tree, reader); err != nil {
				return "", fmt.Errorf("%s: %v", e.Name(), err)
			}
			checked++
		}
	}
	return fmt.Sprintf("%d entries, %d older checkpoints", tree.N, checked), nil
}

// bundle checks that the hashes of 256 entries are those that the tree is proved to hold.
func bundle(dir string, tree tlog.Tree, first int64, reader tlog.HashReader) error {
	width := int64(256)
	if tree.N-first < width {
		width = tree.N - first
	}
	name := strings.Replace(tlog.Tile{H: 8, L: -1, N: first / 256, W: int(width)}.Path(), "tile/8/data", "tile/entries", 1)
	data, err := files(dir).read(name, int(width))
	if err != nil {
		return err
	}
	var indexes []int64
	for i := first; i < first+width; i++ {
		indexes = append(indexes, tlog.StoredHashIndex(0, i))
	}
	want, err := reader.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for i := range want {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return fmt.Errorf("%s is too short", name)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		if tlog.RecordHash(data[2:end]) != want[i] {
			return fmt.Errorf("%s: entry %d has another hash", name, first+int64(i))
		}
		data = data[end:]
	}
	p, err := tlog.ProveRecord(tree.N, first, reader)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(p, tree.N, tree.Hash, first, want[0])
}

func prefix(path, vkey string, tree tlog.Tree, reader tlog.HashReader) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old, err := checkpoint(text, vkey)
	if err != nil || old.N == tree.N {
		return err
	}
	p, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return err
	}
	return tlog.CheckTree(p, tree.N, tree.Hash, old.N, old.Hash)
}

func proof(path, vkey string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	head, signed, ok := bytes.Cut(text, []byte("\n\n"))
	line := strings.Split(string(head), "\n")
	if !ok || len(line) < 3 || line[0] != "c2sp.org/tlog-proof@v1" {
		return "", fmt.Errorf("not a tlog-proof")
	}
	record, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line[1], "extra "))
	if err != nil {
		return "", err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(line[2], "index "), 10, 64)
	if err != nil {
		return "", err
	}
	tree, err := checkpoint(signed, vkey)
	if err != nil {
		return "", err
	}
	var list tlog.RecordProof
	for _, l := range line[3:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return "", err
		}
		list = append(list, h)
	}
	if err := tlog.CheckRecord(list, tree.N, tree.Hash, index, tlog.RecordHash(record)); err != nil {
		return "", err
	}
	return fmt.Sprintf("record %d of %d", index, tree.N), nil
}
