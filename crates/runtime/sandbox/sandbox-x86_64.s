# The pod sandbox for x86_64: waits, and reaps whatever is reparented to it. With any argument it
# first leaves the network that it was started in for one of its own, and then gives up being root:
# a change of user takes all capabilities away. It ends with 99 where that is refused.
#
# A whole ELF file written by hand, so that its bytes depend on the instructions alone and not on
# the linker. Build: `as -o s.o sandbox-x86_64.s && objcopy -O binary -j .text s.o sandbox-x86_64`.
# The bytes are committed; a test builds them again.
        .intel_syntax noprefix
        .set BASE, 0x400000
        .set SIGINT, 2
        .set SIGTERM, 15
        .set SIGCHLD, 17
        .set NOBODY, 65535

        .text
elf:    .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0   # 64 bit, little endian, version 1, System V
        .quad 0
        .short 2, 62                            # ET_EXEC, EM_X86_64
        .long 1
        .quad BASE + (start - elf)              # entry
        .quad headers - elf
        .quad 0                                 # no sections
        .long 0
        .short 64, 56, 2, 0, 0, 0
headers:
        .long 1, 5                              # PT_LOAD, read and execute
        .quad 0, BASE, BASE, end - elf, end - elf, 0x10000
        .long 0x6474e551, 6                     # PT_GNU_STACK, not executable
        .quad 0, 0, 0, 0, 0, 16

start:  mov     eax, 14                         # rt_sigprocmask(SIG_BLOCK, &mask, 0, 8)
        xor     edi, edi
        lea     rsi, [rip + mask]
        xor     edx, edx
        mov     r10d, 8
        syscall
        cmp     qword ptr [rsp], 2              # argc
        jb      wait
        mov     eax, 272                        # unshare(CLONE_NEWNET)
        mov     edi, 0x40000000
        syscall
        test    eax, eax
        jnz     refused
        mov     eax, 116                        # setgroups(0, 0)
        xor     edi, edi
        xor     esi, esi
        syscall
        test    eax, eax
        jnz     refused
        mov     edi, NOBODY
        mov     esi, edi
        mov     edx, edi
        mov     eax, 119                        # setresgid(NOBODY, NOBODY, NOBODY)
        syscall
        test    eax, eax
        jnz     refused
        mov     eax, 117                        # setresuid(NOBODY, NOBODY, NOBODY)
        syscall
        test    eax, eax
        jnz     refused
wait:   mov     eax, 128                        # rt_sigtimedwait(&mask, 0, 0, 8)
        lea     rdi, [rip + mask]
        xor     esi, esi
        xor     edx, edx
        mov     r10d, 8
        syscall
        cmp     eax, SIGTERM
        je      exit
        cmp     eax, SIGINT
        je      exit
        cmp     eax, SIGCHLD
        jne     wait                            # EINTR
reap:   mov     eax, 61                         # wait4(-1, 0, WNOHANG, 0)
        mov     rdi, -1
        xor     esi, esi
        mov     edx, 1
        xor     r10d, r10d
        syscall
        test    eax, eax
        jg      reap
        jmp     wait
exit:   xor     edi, edi
leave:  mov     eax, 231                        # exit_group
        syscall
refused:
        mov     edi, 99
        jmp     leave

        .balign 8, 0
mask:   .quad (1 << (SIGINT - 1)) | (1 << (SIGTERM - 1)) | (1 << (SIGCHLD - 1))
end:
