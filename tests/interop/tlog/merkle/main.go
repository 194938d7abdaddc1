// Command merkle checks what infermesh wrote with github.com/transparency-dev/merkle, the library of Certificate
// Transparency's logs.
//
//	merkle proofs FILE    every proof of tlog_vectors.c
//	merkle folder DIR     the checkpoint's root from the entries
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
	"sort"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

func main() {
	var said string
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "proofs":
		said, err = proofs(args[1])
	case len(args) == 2 && args[0] == "folder":
		said, err = folder(args[1])
	default:
		err = fmt.Errorf("usage: merkle proofs FILE | folder DIR")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "merkle:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func hashes(text string) ([][]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%32 != 0 {
		return nil, fmt.Errorf("malformed hashes")
	}
	list := [][]byte{}
	for ; len(raw) > 0; raw = raw[32:] {
		list = append(list, raw[:32])
	}
	return list, nil
}

func proofs(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hasher := rfc6962.DefaultHasher
	roots := map[uint64][]byte{}
	var count [2]int
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		word := strings.SplitN(in.Text(), " ", 4)
		size, err := strconv.ParseUint(word[1], 10, 64)
		if err != nil {
			return "", err
		}
		list, err := hashes(word[len(word)-1])
		if err != nil {
			return "", err
		}
		if word[0] == "r" {
			roots[size] = list[0]
			continue
		}
		n, err := strconv.ParseUint(word[2], 10, 64)
		if err != nil {
			return "", err
		}
		if word[0] == "i" {
			count[0]++
			leaf := hasher.HashLeaf([]byte(fmt.Sprintf("leaf %d", n)))
			err = proof.VerifyInclusion(hasher, n, size, leaf, list, roots[size])
		} else {
			count[1]++
			err = proof.VerifyConsistency(hasher, n, size, list, roots[n], roots[size])
		}
		if err != nil {
			return "", fmt.Errorf("%s %d %d: %v", word[0], size, n, err)
		}
	}
	size := len(roots)
	if count[0] != size*(size+1)/2 || count[1] != count[0] {
		return "", fmt.Errorf("%d and %d proofs for %d sizes: some are missing", count[0], count[1], size)
	}
	return fmt.Sprintf("%d inclusion and %d consistency proofs", count[0], count[1]), in.Err()
}

// bundles lists the entry bundles in order: the full ones, then the widest partial one.
func bundles(dir string) ([]string, error) {
	var full, partial []string
	root := filepath.Join(dir, "tile/entries")
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		if strings.Contains(path, ".p/") {
			partial = append(partial, path)
		} else {
			full = append(full, path)
		}
		return nil
	})
	number := func(path string) int {
		digits := strings.NewReplacer(root, "", "/", "", "x", "")
		n, _ := strconv.Atoi(digits.Replace(strings.SplitN(path, ".p/", 2)[0]))
		return n
	}
	sort.Slice(full, func(i, k int) bool { return number(full[i]) < number(full[k]) })
	best, width := "", 0
	for _, path := range partial {
		if w, _ := strconv.Atoi(filepath.Base(path)); number(path) == len(full) && w > width {
			best, width = path, w
		}
	}
	if best != "" {
		full = append(full, best)
	}
	return full, err
}

func folder(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", err
	}
	line := bytes.Split(text, []byte("\n"))
	if len(line) < 3 {
		return "", fmt.Errorf("not a checkpoint")
	}
	want, err := base64.StdEncoding.DecodeString(string(line[2]))
	if err != nil {
		return "", err
	}
	size, err := strconv.ParseUint(string(line[1]), 10, 64)
	if err != nil {
		return "", err
	}
	names, err := bundles(dir)
	if err != nil {
		return "", err
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		for len(data) >= 2 && tree.End() < size {
			end := 2 + int(binary.BigEndian.Uint16(data))
			if end > len(data) {
				return "", fmt.Errorf("%s is cut off", name)
			}
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(data[2:end]), nil); err != nil {
				return "", err
			}
			data = data[end:]
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return "", err
	}
	if tree.End() != size || !bytes.Equal(root, want) {
		return "", fmt.Errorf("%d entries of %d have the root %x, not %x", tree.End(), size, root, want)
	}
	return fmt.Sprintf("%d entries have the checkpoint's root", size), nil
}
