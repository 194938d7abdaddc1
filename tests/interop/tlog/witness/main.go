// Command witness is what others wrote about witnesses, for ours: Tessera as a log that asks our witness, the agent that torchwood's
// litewitness takes its key from, and readers of the checkpoints that were cosigned.
//
//	witness log DIR SKEY ENTRIES SECONDS URL WITNESS_VKEY  a Tessera log in DIR grows within SECONDS; the witness at URL cosigns
//	                                                before each publication
//	witness log DIR SKEY ENTRIES SECONDS none       the same without a witness
//	witness agent SOCKET NAME                       an ssh-agent with a new key; prints its fingerprint and the witness's verifier key
//	witness cosigned FILE VKEY WITNESS_VKEY...      a checkpoint with cosignatures: by formats' and by torchwood's verifiers
//	witness proof FILE VKEY QUORUM WITNESS_VKEY...  a .tlog-proof whose checkpoint so many of the witnesses must have cosigned
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"filippo.io/torchwood"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"
)

func main() {
	klog.InitFlags(nil)
	_ = flag.Set("logtostderr", "false")
	_ = flag.Set("stderrthreshold", "FATAL")
	klog.SetOutput(nowhere{})
	var said string
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 7 && args[0] == "log":
		said, err = keepLog(args[1], args[2], args[3], args[4], args[5], args[6])
	case len(args) == 6 && args[0] == "log" && args[5] == "none":
		said, err = keepLog(args[1], args[2], args[3], args[4], "", "")
	case len(args) == 3 && args[0] == "agent":
		err = serveAgent(args[1], args[2])
	case len(args) >= 4 && args[0] == "cosigned":
		said, err = cosigned(args[1], args[2], args[3:])
	case len(args) >= 5 && args[0] == "proof":
		said, err = proof(args[1], args[2], args[3], args[4:])
	default:
		err = errors.New("usage: witness log|agent|cosigned|proof ...; see main.go")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "witness:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// keepLog lets Tessera append entries one after the other. It publishes nothing that the witness has not cosigned.
func keepLog(dir, skey, count, seconds, witnessURL, witnessKey string) (string, error) {
	limit, err := time.ParseDuration(seconds + "s")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	entries, err := strconv.Atoi(count)
	if err != nil {
		return "", err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return "", err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return "", err
	}
	opts := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(16, 20*time.Millisecond).
		WithCheckpointInterval(100 * time.Millisecond)
	var w tessera.Witness
	if witnessURL != "" {
		at, err := url.Parse(witnessURL)
		if err != nil {
			return "", err
		}
		if w, err = tessera.NewWitness(witnessKey, at); err != nil {
			return "", err
		}
		opts.WithWitnesses(tessera.NewWitnessGroup(1, w), &tessera.WitnessOptions{Timeout: 10 * time.Second})
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, opts)
	if err != nil {
		return "", err
	}
	await := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 20*time.Millisecond)
	var text []byte
	for i := 0; i < entries; i += 50 { // some published checkpoints on the way
		for k := i; k < i+50 && k < entries; k++ {
			f := appender.Add(ctx, tessera.NewEntry(fmt.Appendf(nil, "%s %s entry %d", dir, time.Now(), k)))
			if k+1 < i+50 && k+1 < entries {
				continue
			}
			if _, text, err = await.Await(ctx, f); err != nil {
				return "", err
			}
		}
	}
	if err := shutdown(ctx); err != nil {
		return "", err
	}
	if witnessURL == "" {
		return "Tessera's log has grown", nil
	}
	n, err := note.Open(text, note.VerifierList(w.Key))
	if err != nil {
		return "", err
	}
	checkpoint, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Tessera's log of %d entries, cosigned by %s", checkpoint.N, n.Sigs[0].Name), nil
}

// serveAgent holds a new key for litewitness, until it is killed.
func serveAgent(socket, name string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		return err
	}
	cosigner, err := torchwood.NewCosignatureSigner(name, private)
	if err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	fmt.Println(ssh.FingerprintSHA256(public), cosigner.Verifier())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() { _ = agent.ServeAgent(keyring, conn) }()
	}
}

// cosigned opens the note twice: all witnesses must have cosigned it, by both implementations.
func cosigned(path, vkey string, witnesses []string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	log, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	formats, torch := []note.Verifier{log}, []note.Verifier{log}
	for _, w := range witnesses {
		f, err := f_note.NewVerifierForCosignatureV1(w)
		if err != nil {
			return "", err
		}
		t, err := torchwood.NewCosignatureVerifier(w)
		if err != nil {
			return "", err
		}
		formats, torch = append(formats, f), append(torch, t)
	}
	var checkpoint torchwood.Checkpoint
	for _, verifiers := range [][]note.Verifier{formats, torch} {
		n, err := note.Open(text, note.VerifierList(verifiers...))
		if err != nil {
			return "", err
		}
		if len(n.Sigs) != len(verifiers) {
			return "", fmt.Errorf("%d of %d have signed", len(n.Sigs), len(verifiers))
		}
		if checkpoint, err = torchwood.ParseCheckpoint(n.Text); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("checkpoint of %d, cosigned by %d", checkpoint.N, len(witnesses)), nil
}

func proof(path, vkey, quorum string, witnesses []string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	log, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	needed, err := strconv.Atoi(quorum)
	if err != nil {
		return "", err
	}
	var all []torchwood.Policy
	for _, w := range witnesses {
		v, err := torchwood.NewCosignatureVerifier(w)
		if err != nil {
			return "", err
		}
		all = append(all, torchwood.SingleVerifierPolicy(v))
	}
	record, err := torchwood.ProofExtraData(text)
	if err != nil {
		return "", err
	}
	policy := torchwood.ThresholdPolicy(3, torchwood.OriginPolicy(log.Name()), torchwood.SingleVerifierPolicy(log),
		torchwood.ThresholdPolicy(needed, all...))
	if err := torchwood.VerifyProof(policy, tlog.RecordHash(record), text); err != nil {
		return "", err
	}
	return fmt.Sprintf("torchwood accepts the proof, cosigned by %d of %d", needed, len(witnesses)), nil
}
