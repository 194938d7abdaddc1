// Command tessera checks what infermesh wrote with Tessera's own client and fsck, and proof files with torchwood.
//
//	tessera folder DIR|URL VKEY [CHECKPOINTS]   fsck; each older checkpoint is followed to the newest; proofs for all entries
//	tessera same DIR CHECKPOINTS TESTDATA       DIR holds Tessera's published test log, byte for byte
//	tessera proof FILE VKEY                     a .tlog-proof; its record is in the "extra" line
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"
)

func main() {
	klog.InitFlags(nil)
	_ = flag.Set("logtostderr", "false") // fsck logs each tile
	_ = flag.Set("stderrthreshold", "FATAL")
	klog.SetOutput(nowhere{})
	var said string
	var err error
	switch args := os.Args[1:]; {
	case len(args) >= 3 && args[0] == "folder":
		said, err = folder(args[1], args[2], args[3:])
	case len(args) == 4 && args[0] == "same":
		said, err = same(args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "proof":
		said, err = proofFile(args[1], args[2])
	default:
		err = fmt.Errorf("usage: tessera folder DIR|URL VKEY [CHECKPOINTS] | same DIR CHECKPOINTS TESTDATA | proof FILE VKEY")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tessera:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

type fetcher interface {
	ReadCheckpoint(ctx context.Context) ([]byte, error)
	ReadTile(ctx context.Context, l, i uint64, p uint8) ([]byte, error)
	ReadEntryBundle(ctx context.Context, i uint64, p uint8) ([]byte, error)
}

func open(where string) (fetcher, error) {
	if !strings.HasPrefix(where, "http") {
		return client.FileFetcher{Root: where}, nil
	}
	u, err := url.Parse(strings.TrimSuffix(where, "/") + "/")
	if err != nil {
		return nil, err
	}
	return client.NewHTTPFetcher(u, http.DefaultClient)
}

func leaves(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, e := range b.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return out, nil
}

func folder(where, vkey string, older []string) (string, error) {
	ctx := context.Background()
	f, err := open(where)
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	if err := fsck.New(verifier.Name(), verifier, f, leaves, fsck.Opts{N: 2}).Check(ctx); err != nil {
		return "", fmt.Errorf("fsck: %v", err)
	}
	cp, _, _, err := client.FetchCheckpoint(ctx, f.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return "", err
	}
	proofs, err := client.NewProofBuilder(ctx, cp.Size, f.ReadTile)
	if err != nil {
		return "", err
	}
	step := cp.Size/2000 + 1
	for i := uint64(0); i < cp.Size; i += step {
		leaf, err := client.FetchLeafHashes(ctx, f.ReadTile, i, 1, cp.Size)
		if err != nil {
			return "", err
		}
		p, err := proofs.InclusionProof(ctx, i)
		if err != nil {
			return "", err
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, cp.Size, leaf[0], p, cp.Hash); err != nil {
			return "", fmt.Errorf("entry %d: %v", i, err)
		}
	}
	followed, err := follow(ctx, f, verifier, older)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("fsck of %d entries, %d older checkpoints", cp.Size, followed), nil
}

// follow starts Tessera's tracker at each older checkpoint and lets it move on to the newest.
func follow(ctx context.Context, f fetcher, verifier note.Verifier, older []string) (int, error) {
	followed := 0
	for _, dir := range older {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return 0, err
			}
			consensus := client.UnilateralConsensus(f.ReadCheckpoint)
			t, err := client.NewLogStateTracker(ctx, f.ReadTile, text, verifier, verifier.Name(), consensus)
			if err == nil {
				_, _, _, err = t.Update(ctx)
			}
			if err != nil {
				return 0, fmt.Errorf("%s: %v", e.Name(), err)
			}
			followed++
		}
	}
	return followed, nil
}

// same compares every file of Tessera's test log with ours.
func same(dir, checkpoints, testdata string) (string, error) {
	count := 0
	err := filepath.WalkDir(testdata, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(testdata, path)
		if err != nil || name == ".state" && e.IsDir() {
			return skip(err)
		}
		if e.IsDir() || name == "checkpoint.0" { // a log of ours is never published empty
			return nil
		}
		ours := filepath.Join(dir, name)
		if size, found := strings.CutPrefix(name, "checkpoint."); found {
			ours = filepath.Join(checkpoints, size)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		have, err := os.ReadFile(ours)
		if err == nil && !bytes.Equal(have, want) {
			err = fmt.Errorf("%s differs from Tessera's %s", ours, name)
		}
		count++
		return err
	})
	if err == nil && count < 40 {
		err = fmt.Errorf("only %d files in %s", count, testdata)
	}
	return fmt.Sprintf("%d files of Tessera's test log, byte for byte", count), err
}

func skip(err error) error {
	if err != nil {
		return err
	}
	return filepath.SkipDir
}

func proofFile(path, vkey string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	record, err := torchwood.ProofExtraData(text)
	if err != nil {
		return "", err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()), torchwood.SingleVerifierPolicy(verifier))
	if err := torchwood.VerifyProof(policy, tlog.RecordHash(record), text); err != nil {
		return "", err
	}
	return fmt.Sprintf("torchwood accepts the proof of a record of %d bytes", len(record)), nil
}
