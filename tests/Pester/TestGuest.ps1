# A Multiboot 1 guest of a hundred bytes: greets on the serial port, echoes what it reads there, and on 'q' writes 42 to the
# debug-exit port 0xf4.
function New-TestGuest {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Writes one file of the test.')]
    param([Parameter(Mandatory)][string] $Path)

    $load = 0x100000
    $headerLength = 32
    $code = [byte[]](
        0xBE, 0, 0, 0, 0, # mov esi, message
        0xAC, # next: lodsb
        0x84, 0xC0, # test al, al
        0x74, 0x07, # jz echo
        0x66, 0xBA, 0xF8, 0x03, # mov dx, 3F8h
        0xEE, # out dx, al
        0xEB, 0xF4, # jmp next
        0x66, 0xBA, 0xFD, 0x03, # echo: mov dx, 3FDh (line status)
        0xEC, # in al, dx
        0xA8, 0x01, # test al, 1 (data ready)
        0x74, 0xF7, # jz echo
        0x66, 0xBA, 0xF8, 0x03, # mov dx, 3F8h
        0xEC, # in al, dx
        0x3C, 0x71, # cmp al, 'q'
        0x74, 0x03, # jz off
        0xEE, # out dx, al
        0xEB, 0xEB, # jmp echo
        0x66, 0xBA, 0xF4, 0x00, # off: mov dx, 0F4h
        0xB0, 0x2A, # mov al, 42
        0xEE, # out dx, al
        0xF4, # hlt
        0xEB, 0xFD) # jmp back to hlt
    $message = [Text.Encoding]::ASCII.GetBytes("Hello from the test guest, 42 bottles`r`n> `0")
    [BitConverter]::GetBytes([uint32]($load + $headerLength + $code.Length)).CopyTo($code, 1)

    # Multiboot specification 0.6.96, 3.1.1 to 3.1.3: flag 16, the header gives the addresses.
    $magic = [uint32]0x1BADB002
    $flags = [uint32]0x10000
    $checksum = [uint32](0x100000000 - $magic - $flags)
    $end = [uint32]($load + $headerLength + $code.Length + $message.Length)
    $header = [uint32[]]($magic, $flags, $checksum, $load, $load, $end, $end, ($load + $headerLength)) |
        ForEach-Object { [BitConverter]::GetBytes($_) }
    [IO.File]::WriteAllBytes($Path, [byte[]]($header + $code + $message))
}
