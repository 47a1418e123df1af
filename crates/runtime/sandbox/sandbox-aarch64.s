// The pod sandbox for aarch64: waits, and reaps whatever is reparented to it. With any argument it
// first leaves the network that it was started in for one of its own, and then gives up being root:
// a change of user takes all capabilities away. It ends with 99 where that is refused.
//
// A whole ELF file written by hand, so that its bytes depend on the instructions alone and not on
// the linker. Build with an aarch64 `as` and `objcopy`, as sandbox-x86_64.s says.
        .set BASE, 0x400000
        .set SIGINT, 2
        .set SIGTERM, 15
        .set SIGCHLD, 17
        .set NOBODY, 65535

        .text
elf:    .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0   // 64 bit, little endian, version 1, System V
        .quad 0
        .short 2, 183                           // ET_EXEC, EM_AARCH64
        .long 1
        .quad BASE + (start - elf)              // entry
        .quad headers - elf
        .quad 0                                 // no sections
        .long 0
        .short 64, 56, 2, 0, 0, 0
headers:
        .long 1, 5                              // PT_LOAD, read and execute
        .quad 0, BASE, BASE, end - elf, end - elf, 0x10000
        .long 0x6474e551, 6                     // PT_GNU_STACK, not executable
        .quad 0, 0, 0, 0, 0, 16

start:  mov     x8, #135                        // rt_sigprocmask(SIG_BLOCK, &mask, 0, 8)
        mov     x0, #0
        adr     x1, mask
        mov     x2, #0
        mov     x3, #8
        svc     #0
        ldr     x0, [sp]                        // argc
        cmp     x0, #2
        b.lo    wait
        mov     x8, #97                         // unshare(CLONE_NEWNET)
        mov     x0, #0x40000000
        svc     #0
        cbnz    x0, refused
        mov     x8, #159                        // setgroups(0, 0)
        mov     x0, #0
        mov     x1, #0
        svc     #0
        cbnz    x0, refused
        mov     x8, #149                        // setresgid(NOBODY, NOBODY, NOBODY)
        mov     x0, #NOBODY
        mov     x1, x0
        mov     x2, x0
        svc     #0
        cbnz    x0, refused
        mov     x8, #147                        // setresuid(NOBODY, NOBODY, NOBODY)
        mov     x0, #NOBODY
        svc     #0
        cbnz    x0, refused
wait:   mov     x8, #137                        // rt_sigtimedwait(&mask, 0, 0, 8)
        adr     x0, mask
        mov     x1, #0
        mov     x2, #0
        mov     x3, #8
        svc     #0
        cmp     x0, #SIGTERM
        b.eq    exit
        cmp     x0, #SIGINT
        b.eq    exit
        cmp     x0, #SIGCHLD
        b.ne    wait                            // EINTR
reap:   mov     x8, #260                        // wait4(-1, 0, WNOHANG, 0)
        mov     x0, #-1
        mov     x1, #0
        mov     x2, #1
        mov     x3, #0
        svc     #0
        cmp     x0, #0
        b.gt    reap
        b       wait
exit:   mov     x0, #0
leave:  mov     x8, #94                         // exit_group
        svc     #0
refused:
        mov     x0, #99
        b       leave

        .balign 8, 0
mask:   .quad (1 << (SIGINT - 1)) | (1 << (SIGTERM - 1)) | (1 << (SIGCHLD - 1))
end:
