BeforeAll {
    . (Join-Path $PSScriptRoot 'LinuxGuest.ps1')
    Import-Module (Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor') -Force
    $home0 = $env:HYPERVISOR_HOME
    $env:HYPERVISOR_HOME = Join-Path $TestDrive 'host'
    $missing = $null
    try {
        $kernelPackage = Get-DebianPackage -Pattern 'linux-image-*-cloud-amd64' -Name 'linux-image-cloud-amd64'
        $busyboxPackage = Get-DebianPackage -Pattern 'busybox-static' -Name 'busybox-static'
        $kernel = (Get-ChildItem (Join-Path $kernelPackage 'boot') -Filter 'vmlinuz-*').FullName
        $initrd = Join-Path $TestDrive 'initrd.cpio'
        $busybox = 'bin/busybox', 'usr/bin/busybox' | ForEach-Object { Join-Path $busyboxPackage $_ } | Where-Object { Test-Path $_ } | Select-Object -First 1
        New-TestRamDisk $initrd -Busybox $busybox -Init @'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox echo "guest: $(/bin/busybox uname -sr), $(/bin/busybox nproc) processors"
read line
/bin/busybox echo "heard <$line>"
/bin/busybox poweroff -f
'@
    }
    catch {
        $missing = $_.Exception.Message
    }
}

AfterAll {
    Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
    $env:HYPERVISOR_HOME = $home0
}

Describe 'A stock Debian kernel' {
    It 'boots from one pipeline, is talked with on its console and powers itself off' {
        if ($missing) {
            Set-ItResult -Skipped -Because $missing
            return
        }
        $match = New-VM linux -MemoryMB 256 -NumCpu 2 -KernelPath $kernel -InitrdPath $initrd -KernelCommandLine 'console=ttyS0 quiet' |
            Start-VM | Wait-VMConsoleText -Pattern 'guest: Linux (\S+), (\d) processors' -TimeoutSeconds 150
        $match.Groups[1] | Should -Be (Split-Path $kernel -Leaf).Substring('vmlinuz-'.Length)
        $match.Groups[2] | Should -Be '2'

        Send-VMConsoleText linux 'good day'
        (Wait-VMConsoleText linux 'heard <good day>' -TimeoutSeconds 60).Value | Should -Be 'heard <good day>'

        # A wait ends with the machine.
        Wait-VMConsoleText linux 'never' -TimeoutSeconds 60 -ErrorVariable problems -ErrorAction SilentlyContinue
        $problems[0].Exception.Message | Should -Match 'powered off without writing'
        (Get-VM linux).PowerState | Should -Be 'PoweredOff'
        (Get-VIEvent linux -MaxSamples 1).EventTypeId | Should -Be 'VmGuestShutdownEvent'
    }
}
