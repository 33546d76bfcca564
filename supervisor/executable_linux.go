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

// The functions in this file find out why execve(2) has failed, because ENOEXEC does not
// name the processor that a program was built for, and ENOENT does not name a missing
// interpreter. The functions read the beginning of the file, after execve has failed.

const (
	// headSize is enough for the ELF header, the program headers and the loader's path,
	// which linkers put close to the beginning.
	headSize = 4 << 10
	// scriptLine is the number of bytes of a script's first line that the kernel reads
	// (BINPRM_BUF_SIZE; it was 128 before Linux 5.1).
	scriptLine = 256
	// interpreterDepth is the maximum length of a chain of scripts in which each script
	// is the interpreter of the one before (exec_binprm in fs/exec.c).
	interpreterDepth = 5
)

// readHead reads the beginning of a regular file; nil if that fails. It does not open a
// FIFO or a device, because that could block or have side effects.
func readHead(path string) []byte {
	var file syscall.Stat_t
	if err := syscall.Stat(path, &file); err != nil || file.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil
	}
	// With O_NONBLOCK open(2) does not block if the file has been replaced by a FIFO or has
	// a lease.
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

// badFormat returns the reason why execve(2) of path failed with ENOEXEC. It returns nil
// if the file may be a script without a "#!" line, because execvp(3) runs such a script with
// the shell.
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

// missingInterpreter returns the reason why execve(2) of path failed with ENOENT although
// the file exists: the script's interpreter or the program's loader does not exist. The
// function absolute makes a relative path absolute.
func missingInterpreter(path string, absolute func(string) string) error {
	for range interpreterDepth {
		head := readHead(path)
		interpreter, ok := scriptInterpreter(head)
		if !ok {
			// For a program that was built for another processor, ENOENT means that the
			// emulator that is registered in binfmt_misc does not exist.
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

// scriptInterpreter returns the path in the first line of a script. As in the kernel a
// space or a tab ends the path, but a carriage return is part of it.
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

// carriageReturn returns a hint if the path of a missing interpreter ends with a carriage
// return, because then the script has Windows line endings.
func carriageReturn(path string) string {
	if strings.HasSuffix(path, "\r") {
		return " (carriage return at the end of the line)"
	}
	return ""
}

// quotePath makes path safe to print: it is truncated if it is long, and quoted if it
// contains a space or an unprintable character.
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

// Offsets, values and sizes of an ELF file (elf(5)).
const (
	elfClass      = 4  // offset of EI_CLASS: 1 for 32 bits, 2 for 64
	elfData       = 5  // offset of EI_DATA: 1 for little endian, 2 for big
	elfMachineAt  = 18 // offset of e_machine
	elfInterp     = 3  // PT_INTERP
	elfSmallest   = 52 // size of the ELF header in a 32-bit file
	elfSmallest64 = 64 // size of the ELF header in a 64-bit file
)

// machines lists common processors. number is the value of e_machine (the kernel's
// elf-em.h). arch is the GOARCH of that processor; "": usher is not built for that
// processor.
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

// otherProcessor returns an error if machine is not the processor that usher was built
// for.
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

// elfMachine returns e_machine of an ELF file.
func elfMachine(head []byte) (machine uint16, ok bool) {
	if !bytes.HasPrefix(head, []byte("\x7fELF")) || len(head) < elfSmallest {
		return 0, false
	}
	return elfOrder(head).Uint16(head[elfMachineAt:]), true
}

// elfInterpreter returns the path of a dynamically linked program's loader, if head
// contains it.
func elfInterpreter(head []byte) (path string, ok bool) {
	if _, ok := elfMachine(head); !ok {
		return "", false
	}
	order := elfOrder(head)
	var table, entry, count uint64 // offset, size and number of the program headers
	word := func(b []byte) uint64 { return uint64(order.Uint32(b)) }
	offsetAt, sizeAt := 4, 16 // offsets of p_offset and p_filesz in a program header
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
