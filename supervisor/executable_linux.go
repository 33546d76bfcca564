package supervisor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// The functions in this file say why execve(2) has refused a file: ENOEXEC and
// ENOENT alone do not name the other processor, or the interpreter that is
// missing. They read the head of the file, and only after the error.

const (
	// headSize holds the ELF header, the program headers and, as linkers lay
	// files out, the loader's path.
	headSize = 4 << 10
	// scriptLine is how much of a script's first line the kernel reads
	// (BINPRM_BUF_SIZE, 128 before Linux 5.1).
	scriptLine = 256
	// interpreterDepth is how many scripts the kernel follows that are each
	// other's interpreters (BINPRM, exec_binprm in fs/exec.c).
	interpreterDepth = 5
)

// readHead reads the beginning of a regular file; nothing where it may not be
// read. A FIFO or a device is not opened for reading: that could block or have
// an effect.
func readHead(path string) []byte {
	var file syscall.Stat_t
	if err := syscall.Stat(path, &file); err != nil || file.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil
	}
	// O_NONBLOCK, because the file may have been replaced by now, or have a lease.
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	if err := syscall.Fstat(fd, &file); err != nil || file.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil
	}
	head := make([]byte, headSize)
	n, err := unix.Pread(fd, head, 0)
	if err != nil {
		return nil
	}
	return head[:n]
}

// badFormat is what ENOEXEC means for the file at path; nil if it may be a
// script without a "#!" line, which execvp(3) gives to the shell.
func badFormat(path string) error {
	machine, ok := elfMachine(readHead(path))
	if !ok {
		return nil
	}
	if err := otherProcessor(machine); err != nil {
		return err
	}
	return syscall.ENOEXEC
}

// missingInterpreter is what ENOENT means for a file that is there: the
// interpreter of the script at path, or the loader of the program, is not.
// absolute completes a relative path.
func missingInterpreter(path string, absolute func(string) string) error {
	for range interpreterDepth {
		head := readHead(path)
		interpreter, ok := scriptInterpreter(head)
		if !ok {
			// binfmt_misc may name an emulator for the processor, and that is missing.
			if machine, isELF := elfMachine(head); isELF {
				if err := otherProcessor(machine); err != nil {
					return err
				}
			}
			interpreter, ok = elfInterpreter(head)
		}
		if !ok {
			break
		}
		path = absolute(interpreter)
		if err := unix.Access(path, unix.F_OK); err == unix.ENOENT || err == unix.ENOTDIR {
			return fmt.Errorf("%s: no such file%s", quotePath(interpreter), carriageReturn(interpreter))
		}
	}
	return errors.New("its interpreter or loader is missing")
}

// scriptInterpreter is the path in the first line of a script, as the kernel
// reads it: spaces and tabs end it, a carriage return does not.
func scriptInterpreter(head []byte) (path string, ok bool) {
	line, ok := bytes.CutPrefix(head[:min(len(head), scriptLine)], []byte("#!"))
	if !ok {
		return "", false
	}
	if i := bytes.IndexAny(line, "\n\x00"); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimLeft(line, " \t")
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		line = line[:i]
	}
	return string(line), len(line) > 0
}

// carriageReturn explains the most frequent cause of a missing interpreter: a
// script whose lines end as they do on Windows.
func carriageReturn(path string) string {
	if strings.HasSuffix(path, "\r") {
		return " (carriage return at the end of the line)"
	}
	return ""
}

// quotePath is path as it may be printed: in quotes if it has other than visible
// characters, and cut to a length that a line has room for.
func quotePath(path string) string {
	const longest = 160
	if len(path) > longest {
		path = strings.ToValidUTF8(path[:longest], "") + "…"
	}
	if strings.ContainsFunc(path, func(r rune) bool { return !strconv.IsPrint(r) || r == ' ' }) || !utf8.ValidString(path) {
		return strconv.Quote(path)
	}
	return path
}

// Of an ELF file (elf(5)).
const (
	elfClass      = 4 // offset of EI_CLASS: 1 for 32 bits, 2 for 64
	elfData       = 5 // of EI_DATA: 1 for little endian, 2 for big
	elfMachineAt  = 18
	elfInterp     = 3  // PT_INTERP
	elfSmallest   = 52 // the header's size with 32 bits
	elfSmallest64 = 64
)

// machines are the processors that an image is most likely built for, by their
// numbers in e_machine (the kernel's elf-em.h). arch is Go's name where usher
// itself is built for one.
var machines = []struct {
	number     uint16
	arch, name string
}{
	{3, "386", "i386"},
	{8, "", "mips"},
	{20, "", "powerpc"},
	{21, "ppc64le", "powerpc64"},
	{22, "s390x", "s390x"},
	{40, "arm", "arm"},
	{62, "amd64", "x86_64"},
	{183, "arm64", "aarch64"},
	{243, "riscv64", "riscv"},
	{258, "", "loongarch"},
}

// otherProcessor is the error for a program whose processor is not ours; nil if
// it is.
func otherProcessor(machine uint16) error {
	name := fmt.Sprintf("ELF machine %d", machine)
	for _, m := range machines {
		switch {
		case m.number != machine:
		case m.arch == runtime.GOARCH:
			return nil
		default:
			name = m.name
		}
	}
	return fmt.Errorf("built for another processor (%s)", name)
}

func elfOrder(head []byte) binary.ByteOrder {
	if head[elfData] == 2 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// elfMachine is the processor of an ELF file.
func elfMachine(head []byte) (machine uint16, ok bool) {
	if !bytes.HasPrefix(head, []byte("\x7fELF")) || len(head) < elfSmallest {
		return 0, false
	}
	return elfOrder(head).Uint16(head[elfMachineAt:]), true
}

// elfInterpreter is the path of the loader that a dynamically linked program
// wants, if the head has it.
func elfInterpreter(head []byte) (path string, ok bool) {
	if _, ok := elfMachine(head); !ok {
		return "", false
	}
	order := elfOrder(head)
	var table, entry, count uint64 // where the program headers are
	word := func(b []byte) uint64 { return uint64(order.Uint32(b)) }
	offsetAt, sizeAt := 4, 16 // of p_offset and p_filesz in a program header
	if head[elfClass] == 2 {
		if len(head) < elfSmallest64 {
			return "", false
		}
		word, offsetAt, sizeAt = order.Uint64, 8, 32
		table, entry, count = order.Uint64(head[32:]), uint64(order.Uint16(head[54:])), uint64(order.Uint16(head[56:]))
	} else {
		table, entry, count = word(head[28:]), uint64(order.Uint16(head[42:])), uint64(order.Uint16(head[44:]))
	}
	for i := range count {
		at := table + i*entry
		if at < table || at >= uint64(len(head)) || uint64(len(head))-at < uint64(sizeAt+8) {
			return "", false
		}
		header := head[at:]
		if order.Uint32(header) != elfInterp {
			continue
		}
		offset, size := word(header[offsetAt:]), word(header[sizeAt:])
		if offset >= uint64(len(head)) || size > uint64(len(head))-offset {
			return "", false
		}
		path, _, _ := strings.Cut(string(head[offset:offset+size]), "\x00")
		return path, path != ""
	}
	return "", false
}
