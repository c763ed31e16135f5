BeforeAll {
    . (Join-Path $PSScriptRoot 'LinuxGuest.ps1')
    Import-Module (Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor') -Force
    $home0 = $env:HYPERVISOR_HOME
    $env:HYPERVISOR_HOME = Join-Path $TestDrive ([guid]::NewGuid())
    $missing = $null
    try {
        $kernelPackage = Get-DebianPackage -Pattern 'linux-image-*-cloud-amd64' -Name 'linux-image-cloud-amd64'
        $busyboxPackage = Get-DebianPackage -Pattern 'busybox-static' -Name 'busybox-static'
        $kernel = (Get-ChildItem (Join-Path $kernelPackage 'boot') -Filter 'vmlinuz-*').FullName
        $busybox = 'bin/busybox', 'usr/bin/busybox' | ForEach-Object { Join-Path $busyboxPackage $_ } | Where-Object { Test-Path $_ } | Select-Object -First 1
        # Each after those it depends on.
        $drivers = 'virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_balloon'
        $modules = $drivers | ForEach-Object { (Get-ChildItem $kernelPackage -Recurse -Filter "$_.ko" | Select-Object -First 1).FullName }
        $initrd = Join-Path $TestDrive 'initrd.cpio'

        # Random content, which can only be swapped, and text, which compresses. The sum is taken while all of it is in memory.
        New-TestRamDisk $initrd -Busybox $busybox -Module $modules -Init @'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
if ! grep -q noballoon /proc/cmdline; then
    for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_balloon; do insmod /$module.ko; done
fi
head -c 25165824 /dev/urandom > /random
yes 'a line that repeats itself' | head -c 41943040 > /text
sha256sum /random /text > /sums
echo 'guest: filled'
while read line; do
    sha256sum -c -s /sums && echo 'guest: right' || echo 'guest: wrong'
done
'@
    }
    catch {
        $missing = $_.Exception.Message
    }

    function Start-FilledGuest {
        [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Starts the test''s own machine.')]
        param([string] $Name, [string] $Argument)

        $null = New-VM $Name -MemoryMB 192 -Backend Software -KernelPath $kernel -InitrdPath $initrd -KernelCommandLine "console=ttyS0 quiet $Argument" |
            Start-VM | Wait-VMConsoleText -Text 'guest: filled' -TimeoutSeconds 300
    }

    function Wait-MemoryPanel {
        param([string] $Name, [scriptblock] $Until)

        $patience = [Diagnostics.Stopwatch]::StartNew()
        do {
            $row = Get-EsxTop Memory -Delay 0.5 | Where-Object Name -EQ $Name
        } until ((& $Until $row) -or $patience.Elapsed.TotalSeconds -gt 180)
        $row
    }
}

AfterAll {
    Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
    $env:HYPERVISOR_HOME = $home0
}

Describe 'A memory limit of a machine that runs' {
    AfterEach {
        Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
    }

    It 'is kept by the balloon where the guest has its driver' {
        if ($missing) {
            Set-ItResult -Skipped -Because $missing
            return
        }
        Start-FilledGuest balloon
        $before = Wait-MemoryPanel balloon { $args[0].Memctl -eq 'Y' }
        $before.Memctl, $before.MemctlTargetMB | Should -Be 'Y', 0
        $before.MemorySizeMB | Should -Be 192
        $before.ConsumedMB | Should -BeGreaterThan 80

        (Set-VMResource balloon -MemLimitMB 80).MemLimitMB | Should -Be 80
        $held = Wait-MemoryPanel balloon { $args[0].ConsumedMB -le 85 -and $args[0].MemctlMB -gt 0 }
        $held.ConsumedMB | Should -BeLessOrEqual 85
        $held.TargetSizeMB | Should -BeLessOrEqual 80
        $held.MemctlTargetMB | Should -BeGreaterThan 0
        $held.MemctlMB | Should -BeGreaterThan 0
        $held.MemctlMaxMB | Should -BeGreaterOrEqual $held.MemctlTargetMB
        (Get-VMResource balloon).MemEntitlementMB | Should -BeLessOrEqual 80

        $null = Set-VMResource balloon -MemLimitMB $null
        (Wait-MemoryPanel balloon { $args[0].MemctlTargetMB -eq 0 }).MemctlTargetMB | Should -Be 0
        Send-VMConsoleText balloon 'check'
        (Wait-VMConsoleText balloon -Pattern 'guest: (right|wrong)' -TimeoutSeconds 180).Value | Should -Be 'guest: right'
    }

    It 'is kept by compression and swapping where it has not, and nothing is lost' {
        if ($missing) {
            Set-ItResult -Skipped -Because $missing
            return
        }
        Start-FilledGuest swap 'noballoon'
        $null = Set-VMResource swap -MemLimitMB 64
        $held = Wait-MemoryPanel swap { $args[0].ConsumedMB -le 68 -and $args[0].SwappedMB -gt 0 }
        $held.ConsumedMB | Should -BeLessOrEqual 68
        $held.Memctl, $held.MemctlTargetMB | Should -Be 'N', 0
        $held.SwappedMB | Should -BeGreaterThan 0
        $held.SwapTargetMB | Should -BeGreaterThan 0
        $held.CacheUsedMB | Should -BeLessOrEqual $held.CacheSizeMB
        $raw = Get-EsxTop Memory -Raw
        $raw[0].State | Should -Be 'High'
        $raw[1].SwapWrittenBytes | Should -BeGreaterThan 0
        $csv = Get-EsxTop -Batch -Delay 0.2 | ConvertFrom-Csv
        $column = $csv.PSObject.Properties.Name | Where-Object { $_ -like '*\Group Memory(*:swap)\Swapped MBytes' }
        [double]$csv.$column | Should -BeGreaterThan 0

        Send-VMConsoleText swap 'check'
        (Wait-VMConsoleText swap -Pattern 'guest: (right|wrong)' -TimeoutSeconds 300).Value | Should -Be 'guest: right'
        (Get-EsxTop Memory -Raw)[1].SwapWaitTimeInUsec | Should -BeGreaterThan 0
        (Get-EsxTop -Delay 0.5).PctSwapWait | Should -BeGreaterOrEqual 0
    }
}
