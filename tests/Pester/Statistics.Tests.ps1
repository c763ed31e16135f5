Describe 'Statistics' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'TestGuest.ps1')
        $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
        Import-Module $module -Force
        $home0 = $env:HYPERVISOR_HOME
        $env:HYPERVISOR_HOME = Join-Path $TestDrive ([guid]::NewGuid())
        $kernel = Join-Path $TestDrive 'guest.bin'
        New-TestGuest $kernel
        $disk = Join-Path $TestDrive 'disk.raw'
        [IO.File]::WriteAllBytes($disk, [byte[]]::new(1MB))
        $null = New-VM web -MemoryMB 16 -NumCpu 2 -KernelPath $kernel -DiskPath $disk -Backend Software | Start-VM | Wait-VMConsoleText -Text '42 bottles' -TimeoutSeconds 30

        # A sample ends at each third of a minute; the second one covers a whole period of the machine.
        $patience = [Diagnostics.Stopwatch]::StartNew()
        while (@(Get-Stat web -Stat sys.uptime.latest).Count -lt 2 -and $patience.Elapsed.TotalSeconds -lt 120) {
            Start-Sleep -Milliseconds 500
        }
    }

    AfterAll {
        Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
        $env:HYPERVISOR_HOME = $home0
    }

    It 'has samples of a running machine, every twenty seconds' {
        $samples = @(Get-Stat web -Stat cpu.usage.average -Instance '')
        $samples.Count | Should -BeGreaterOrEqual 2
        $samples[0].PSObject.Properties.Name | Should -Be 'MetricId', 'Timestamp', 'Value', 'Unit', 'Instance', 'Entity', 'EntityId', 'IntervalSecs', 'Description'
        $samples[0].Entity.Name | Should -Be 'web'
        $samples[0].EntityId | Should -Be (Get-VM web).Id
        $samples[0].IntervalSecs | Should -Be 20
        $samples[0].Unit | Should -Be '%'
        $samples.Timestamp.Second | ForEach-Object { $_ % 20 | Should -Be 0 }
        ($samples[0].Timestamp - $samples[1].Timestamp).TotalSeconds % 20 | Should -Be 0
        $samples[0].Value | Should -BeGreaterThan 0
        $samples[0].Value | Should -BeLessOrEqual 100
    }

    It 'accounts for all of the time of a virtual processor' {
        $last = Get-Stat web -Stat cpu.run.summation, cpu.ready.summation, cpu.costop.summation, cpu.wait.summation -Instance 1 -MaxSamples 1
        $last.Count | Should -Be 4
        $sum = ($last.Value | Measure-Object -Sum).Sum
        $uptimes = Get-Stat web -Stat sys.uptime.latest -MaxSamples 2
        [math]::Abs($sum / 1000 - ($uptimes[0].Value - $uptimes[1].Value)) | Should -BeLessThan 2
    }

    It 'has disks and network adapters by vSphere''s keys' {
        (Get-Stat web -Stat virtualDisk.* -MaxSamples 1).Instance | Select-Object -Unique | Should -Be 'scsi0:0'
        (Get-Stat web -Network -MaxSamples 1).Instance | Select-Object -Unique | Should -Be '', '4000'
    }

    It 'adds the machines up for the host' {
        $machine = Get-VM web | Get-Stat -Stat cpu.usagemhz.average -Instance '' -MaxSamples 1
        $all = Get-VMHost | Get-Stat -Stat cpu.usagemhz.average -Instance '' -Start $machine.Timestamp -Finish $machine.Timestamp
        $all.Value | Should -Be $machine.Value
        $all.Entity.Name | Should -Be (Get-VMHost).Name
    }

    It 'has resource pools, and what the host can promise' {
        $machine = Get-Stat web -Stat mem.consumed.average -MaxSamples 1
        $pool = Get-ResourcePool Resources | Get-Stat -Stat mem.consumed.average -Start $machine.Timestamp -Finish $machine.Timestamp
        $pool.Value | Should -Be $machine.Value
        $pool.Entity.Name | Should -Be 'Resources'
        (Get-Stat Resources -Stat cpu.usagemhz.average -MaxSamples 1).EntityId | Should -Be (Get-ResourcePool Resources).Id
        $total, $reserved, $free = 'mem.totalCapacity', 'mem.reservedCapacity', 'mem.unreserved' | ForEach-Object { (Get-VMHost | Get-Stat -Stat "$_.average" -MaxSamples 1).Value }
        $reserved | Should -BeGreaterThan 0
        $free / 1024 | Should -Be ($total - $reserved)
    }

    It 'has datastores, of the machine, of the host and by themselves' {
        $store = Get-VM web | Get-Datastore
        $store.Accessible | Should -BeTrue
        $store.CapacityGB | Should -BeGreaterThan 0
        $of = Get-Stat web -Stat datastore.numberReadAveraged.average -MaxSamples 1
        $of.Instance | Should -Be $store.Name
        $all = $store | Get-Stat -Stat datastore.numberReadAveraged.average -Start $of.Timestamp -Finish $of.Timestamp
        $all.Value | Should -Be $of.Value
        $all.Entity | Should -Be $store
        (Get-VMHost | Get-Stat -Stat datastore.datastoreIops.average -MaxSamples 1).Instance | Should -Be $store.Name
        $used = Get-Stat $store.Name -Stat disk.used.latest -MaxSamples 1
        $used.Unit | Should -Be 'KB'
        $used.Value | Should -BeGreaterThan 0
        $used.Value | Should -BeLessOrEqual (Get-Stat -Entity $store -Stat disk.capacity.latest -MaxSamples 1).Value
        Get-StatType -Entity $store | Should -Contain 'datastore.sizeNormalizedDatastoreLatency.average'
        $store | Out-String | Should -Match 'Name\s+Type\s+FreeSpaceGB\s+CapacityGB\s+ProvisionedGB\s+State'
    }

    It 'lists what there is' {
        Get-StatType -Entity web -Name cpu.usage* | Should -Be 'cpu.usage.average', 'cpu.usage.maximum', 'cpu.usagemhz.average'
        (Get-StatInterval).SamplingPeriodSecs | Should -Be 300, 1800, 7200, 86400
        Get-StatInterval 'Past week' | Select-Object -ExpandProperty StorageTimeSecs | Should -Be 604800
    }

    It 'shows a table' {
        $text = Get-Stat web -Cpu -MaxSamples 1 | Out-String
        $text | Should -Match '(?s)Entity: web\s+MetricId\s+Timestamp\s+Value\s+Instance\s+Unit'
        $text | Should -Match 'cpu\.ready\.summation'
        $narrow = Get-Stat web -Stat virtualDisk.*, cpu.ready.summation -MaxSamples 1 | Out-String -Width 80
        $narrow | Should -Match '(?m)Timestamp\s+Value\s+Instance'
        $narrow | Should -Match '(?m)^cpu\.ready\.summation +\d\d-\d\d [\d:]+ +[\d.]+ +0\b' -Because 'the processor is told from the machine'
    }

    It 'is read by other processes, which add their own machines' {
        $script = "Import-Module '$module'; `$env:HYPERVISOR_HOME = '$env:HYPERVISOR_HOME'; (Get-Stat web -Common -MaxSamples 1 | Where-Object MetricId -EQ cpu.usage.average).Count"
        [int](pwsh -NoProfile -Command $script) | Should -Be 3
    }

    It 'refuses what it has not' {
        { Get-Stat web -Stat cpu.coffee.average -ErrorAction Stop } | Should -Throw '*no counter*'
        { Get-Stat web -IntervalMins 7 -ErrorAction Stop } | Should -Throw '*300, 1800, 7200*'
        { Get-Stat nobody -ErrorAction Stop } | Should -Throw '*nobody*'
        'web' | Get-Stat -ErrorAction SilentlyContinue -ErrorVariable problem
        $problem[0].FullyQualifiedErrorId | Should -BeLike 'NameInPipeline*'
    }
}
