Describe 'Storage I/O control' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'TestGuest.ps1')
        $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
        Import-Module $module -Force
        $home0 = $env:HYPERVISOR_HOME
        $kernel = Join-Path $TestDrive 'guest.bin'
        New-TestGuest $kernel
        $disk = Join-Path $TestDrive 'disk.raw'
        [IO.File]::WriteAllBytes($disk, [byte[]]::new(1MB))
    }

    BeforeEach {
        $env:HYPERVISOR_HOME = Join-Path $TestDrive ([guid]::NewGuid())
        $null = New-VM web -MemoryMB 16 -KernelPath $kernel -DiskPath $disk -Backend Software -AdvancedSetting @{ 'debugExit.port' = '0xf4' }
    }

    AfterEach {
        Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
    }

    AfterAll {
        $env:HYPERVISOR_HOME = $home0
    }

    It 'has vSphere''s defaults' {
        $found = Get-VM web | Get-IoControl
        $found.VM | Should -Be 'web'
        $found.Disk | Should -Be 'Hard disk 1'
        $found.DiskSharesLevel | Should -Be 'Normal'
        $found.NumDiskShares | Should -Be 1000
        $found.DiskLimitIOPerSecond | Should -Be -1
        $found.DiskLimitMBPerSecond | Should -Be -1
        $found.DiskReservationIOPerSecond | Should -Be 0
        $datastore = Get-IoControl -Datastore $found.Datastore
        $datastore.StorageIOControlEnabled | Should -BeFalse
        $datastore.CongestionThresholdMillisecond | Should -Be 30
    }

    It 'knows the levels <Level>' -ForEach @(
        @{ Level = 'Low'; Shares = 500 }
        @{ Level = 'Normal'; Shares = 1000 }
        @{ Level = 'High'; Shares = 2000 }) {
        (Set-IoControl web -DiskSharesLevel $Level).NumDiskShares | Should -Be $Shares
    }

    It 'keeps what is not given, and clears limits with $null' {
        $null = Set-IoControl web -NumDiskShares 3000 -DiskLimitIOPerSecond 400 -DiskLimitMBPerSecond 2.5 -DiskReservationIOPerSecond 10
        $found = Get-VM web | Set-IoControl -DiskLimitIOPerSecond $null
        $found.DiskSharesLevel | Should -Be 'Custom'
        $found.NumDiskShares | Should -Be 3000
        $found.DiskLimitIOPerSecond | Should -Be -1
        $found.DiskLimitMBPerSecond | Should -Be 2.5
        $found.DiskReservationIOPerSecond | Should -Be 10
        pwsh -NoProfile -Command "Import-Module '$module'; (Get-IoControl web -HostPath '$env:HYPERVISOR_HOME').NumDiskShares" | Should -Be '3000'
    }

    It 'changes a running machine, and records it' {
        $null = Start-VM web
        $found = Set-IoControl web 1 -DiskLimitIOPerSecond 100
        $found.DiskLimitIOPerSecond | Should -Be 100
        $found.Statistics | Should -Not -BeNullOrEmpty
        $found.Statistics.Queued | Should -Be 0
        (Get-VIEvent web -MaxSamples 1).FullFormattedMessage | Should -BeLike '*Hard disk 1*100 IOPS at most*'
        $datastore = Set-IoControl -Datastore $found.Datastore -StorageIOControlEnabled $true -CongestionThresholdMillisecond 10 -QueueDepth 16
        $datastore.NumDisks | Should -Be 1
        $datastore.CurrentQueueDepth | Should -Be 16
        (Get-VIEvent -MaxSamples 1).EventTypeId | Should -Be 'DatastoreIORMReconfiguredEvent'
    }

    It 'is set for a running machine from another process too' {
        $null = Start-VM web
        pwsh -NoProfile -Command "Import-Module '$module'; (Set-IoControl web -NumDiskShares 5 -HostPath '$env:HYPERVISOR_HOME').NumDiskShares" | Should -Be '5'
        (Get-IoControl web).NumDiskShares | Should -Be 5
    }

    It 'is set as in PowerCLI too, also while the machine runs' {
        $second = Join-Path $TestDrive 'second.raw'
        [IO.File]::WriteAllBytes($second, [byte[]]::new(1MB))
        $null = Set-VM web -DiskPath $disk, $second
        $disks = (Get-VM web | Get-VMResourceConfiguration).DiskResourceConfiguration
        $disks.Key | Should -Be 2000, 2001
        $disks.Disk | Should -Be 'Hard disk 1', 'Hard disk 2'
        $disks.DiskSharesLevel | Should -Be 'Normal', 'Normal'
        $disks.NumDiskShares | Should -Be 1000, 1000
        $disks.DiskLimitIOPerSecond | Should -Be -1, -1

        $null = Start-VM web
        $set = Get-VM web | Get-VMResourceConfiguration | Set-VMResourceConfiguration -Disk 'Hard disk 2' -DiskSharesLevel High -DiskLimitIOPerSecond 250 -CpuSharesLevel Low
        $set.CpuSharesLevel | Should -Be 'Low'
        $set.DiskResourceConfiguration.NumDiskShares | Should -Be 1000, 2000
        (Get-IoControl web).DiskLimitIOPerSecond | Should -Be -1, 250
        (Get-VIEvent web).FullFormattedMessage | Where-Object { $_ -like '*Hard disk 2*2000 shares (High), 250 IOPS at most*' } | Should -HaveCount 1
        (Set-VMResource web -Disk $set.DiskResourceConfiguration[1] -DiskLimitIOPerSecond $null).DiskResourceConfiguration.DiskLimitIOPerSecond | Should -Be -1, -1
        (Set-VMResource web -DiskSharesLevel Custom -NumDiskShares 77).DiskResourceConfiguration.NumDiskShares | Should -Be 77, 77
        Set-VMResource web -NumDiskShares 5 -WhatIf | Should -BeNullOrEmpty
        (Get-IoControl web).NumDiskShares | Should -Be 77, 77
        $set.DiskResourceConfiguration | Out-String | Should -Match 'Key\s+Disk\s+DiskSharesLevel\s+NumDiskShares\s+DiskLimitIOPerSecond'
    }

    It 'is seen in EsxTop''s panels' {
        $null = Start-VM web
        $device = Get-EsxTop Disk -Delay 0.2
        $device.Name | Should -Be (Get-IoControl web).Datastore
        $device.QueueDepth | Should -Be 64
        (Get-EsxTop Disk -Expand -Delay 0.2).Name | Should -Be 'web: Hard disk 1'
        (Get-EsxTop Adapter -Delay 0.2).Name | Should -Be 'vmhba0'
        (Get-EsxTop VMDisk -Delay 0.2).NumDisks | Should -Be 1
        (Get-EsxTop VMDisk -Raw).Path | Should -Be $disk
        Get-EsxTop Disk -Delay 0.2 | Out-String -Width 300 | Should -Match 'QUED\s+CMDS/s\s+MBREAD/s\s+MBWRTN/s\s+DAVG/cmd\s+KAVG/cmd'
        $names = (Get-EsxTop -Batch -Delay 0.2 | ConvertFrom-Csv)[0].PSObject.Properties.Name
        $names | Where-Object { $_ -like '*\Physical Disk SCSI Device(*)\Average Kernel MilliSec/Command' } | Should -HaveCount 1
        $names | Where-Object { $_ -like '*\Virtual Disk(web:scsi0:0)\Commands/sec' } | Should -HaveCount 1
    }

    It 'shows disks and datastores as tables' {
        $text = Get-IoControl web | Out-String
        $text | Should -Match 'Disk\s+VM\s+Datastore\s+Level\s+Shares\s+Lim IO/s'
        Get-IoControl | Out-String | Should -Match 'Datastore\s+Enabled\s+Mode\s+Threshold ms\s+QueueDepth'
    }

    It 'refuses <Line> with <Text>' -ForEach @(
        @{ Line = 'Set-IoControl web -DiskLimitIOPerSecond 0'; Text = 'limit of 0 I/O'; Category = 'InvalidArgument' }
        @{ Line = 'Set-IoControl web -DiskLimitIOPerSecond -2'; Text = 'limit of -2 I/O'; Category = 'InvalidArgument' }
        @{ Line = 'Set-IoControl web -DiskLimitIOPerSecond 5 -DiskReservationIOPerSecond 6'; Text = 'above the limit'; Category = 'InvalidArgument' }
        @{ Line = 'Set-IoControl web -NumDiskShares 0'; Text = '0 disk shares'; Category = 'InvalidArgument' }
        @{ Line = 'Set-IoControl web "Hard disk 2" -NumDiskShares 5'; Text = 'no disk ''Hard disk 2'''; Category = 'InvalidArgument' }
        @{ Line = 'Set-VMResource web -Disk 2 -NumDiskShares 5'; Text = 'no disk ''2''. It has: Hard disk 1'; Category = 'InvalidArgument' }
        @{ Line = 'Set-VMResource web -NumDiskShares -5'; Text = '-5 disk shares'; Category = 'InvalidArgument' }
        @{ Line = 'Set-VMResource web -DiskSharesLevel Custom'; Text = '-NumDiskShares'; Category = 'InvalidArgument' }
        @{ Line = 'Set-IoControl nope -NumDiskShares 5'; Text = 'no virtual machine'; Category = 'ObjectNotFound' }
        @{ Line = 'Set-IoControl -Datastore /no/such -QueueDepth 8'; Text = 'no datastore'; Category = 'InvalidArgument' }
        @{ Line = 'Get-IoControl -Datastore /no/such'; Text = 'no datastore'; Category = 'ObjectNotFound' }) {
        & ([scriptblock]::Create("$Line -ErrorVariable script:problems -ErrorAction SilentlyContinue")) | Should -BeNullOrEmpty
        $problems[0].Exception.Message | Should -BeLike "*$Text*"
        $problems[0].CategoryInfo.Category | Should -Be $Category
    }
}
