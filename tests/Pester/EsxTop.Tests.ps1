Describe 'EsxTop' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'TestGuest.ps1')
        $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
        Import-Module $module -Force
        $home0 = $env:HYPERVISOR_HOME
        $env:HYPERVISOR_HOME = Join-Path $TestDrive ([guid]::NewGuid())
        $kernel = Join-Path $TestDrive 'guest.bin'
        New-TestGuest $kernel
        $null = New-VM web -MemoryMB 16 -NumCpu 2 -KernelPath $kernel -Backend Software | Start-VM | Wait-VMConsoleText -Text '42 bottles' -TimeoutSeconds 30
    }

    AfterAll {
        Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
        $env:HYPERVISOR_HOME = $home0
    }

    It 'gives rates that sum to a hundred for each virtual processor' {
        $rows = Get-EsxTop -Expand -Delay 0.5
        $rows.Count | Should -Be 2
        foreach ($row in $rows) {
            $row.PctRun + $row.PctReady + $row.PctCoStop + $row.PctWait | Should -BeGreaterThan 99
            $row.PctRun + $row.PctReady + $row.PctCoStop + $row.PctWait | Should -BeLessThan 101
        }
        $rows[0].PctRun + $rows[0].PctReady | Should -BeGreaterThan 50
        $rows[1].PctIdle | Should -BeGreaterThan 50
        (Get-EsxTop -Delay 0.2 -Iterations 2).NumWorlds | Should -Be 2, 2
    }

    It 'gives the counters themselves' {
        $raw = Get-EsxTop -Raw
        $raw.WorldName | Should -Be 'vmx-vcpu-0:web', 'vmx-vcpu-1:web'
        $raw[0].RunTimeInUsec | Should -BeGreaterThan 0
    }

    It 'writes CSV that reads as perfmon''s' {
        $lines = Get-EsxTop -Batch -Delay 0.2 -Iterations 3
        $lines.Count | Should -Be 4
        $rows = $lines | ConvertFrom-Csv
        $names = $rows[0].PSObject.Properties.Name
        $names[0] | Should -Be '(PDH-CSV 4.0) (UTC)(0)'
        $used = $names | Where-Object { $_ -like '*\Group Cpu(*:web)\% Run' }
        $used | Should -Not -BeNullOrEmpty
        [double]$rows[2].$used | Should -BeGreaterThan 0
        { [datetime]::ParseExact($rows[1].($names[0]), 'MM/dd/yyyy HH:mm:ss', [cultureinfo]::InvariantCulture) } | Should -Not -Throw
    }

    It 'shows the network, power and interrupts as far as there are numbers' {
        $port = Get-EsxTop Network -Delay 0.2
        $port.Name, $port.DeviceName, $port.TeamUplink | Should -Be 'web', 'NAT', 'n/a'
        (Get-EsxTop Network -Raw).LinkUp | Should -BeTrue
        $machine = Get-EsxTop Interrupt -Delay 0.2
        $machine.Name | Should -Be 'web'
        (Get-EsxTop Interrupt -Delay 0.2 -Expand).Vector | Should -Contain 'VCPU 1'
        $power = Get-EsxTop Power -Delay 0.2
        $power.Name | Should -Be 'Host'
        # What is not told is said to be missing, and has no number.
        ($null -eq $power.Watts) | Should -Be ($power.Missing -like '*watts*')
        ($null -eq $power.PctC0) | Should -Be ($power.Missing -like '*C-states*')
        (Get-EsxTop Power -Raw)[0].Missing | Should -Be $power.Missing
    }

    It 'has PowerCLI''s forms, which a script that was written for it can use' {
        (Get-EsxTop -Counter).Name | Should -Be 'PCPU', 'LCPU', 'PMem', 'SchedGroup', 'VCPU', 'MemClient', 'SCSIDevice', 'VSCSI', 'NetPort'
        (Get-EsxTop -Counter -CounterName VCPU).Fields.Name | Should -Contain 'UsedTimeInUsec'
        (Get-EsxTop -TopologyInfo).Name | Should -Contain 'SchedGroup'
        Get-EsxTop -TopologyInfo | Out-String -Width 120 | Should -Match '(?m)^SchedGroup\s+\{vm\.\d+'

        # As in PowerCLI's own example.
        $group = Get-EsxTop -CounterName SchedGroup | Where-Object { $_.VMName -eq (Get-VM web).Name }
        $group.CPUAllocMax | Should -Be -1
        $entries = Get-EsxTop -TopologyInfo -Topology SchedGroup | ForEach-Object { $_.Entries } | Where-Object { $group.GroupID -contains $_.GroupId }
        $ids = $entries | ForEach-Object { $_.CpuClient } | ForEach-Object { $_.CPUClientID }
        $processors = @(Get-EsxTop -CounterName 'VCPU' | Where-Object { $ids -contains $_.VCPUID })
        $processors.WorldName | Should -Be 'vmx-vcpu-0:web', 'vmx-vcpu-1:web'
        $processors[0].RunTimeInUsec | Should -BeGreaterThan 0

        $values = Get-EsxTop -CounterName PCPU, NetPort
        $values[0].NumOfLCPUs | Should -BeGreaterThan 0
        $values[1].ClientName, $values[1].IsUplink | Should -Be 'web', $false
        $lcpu = @(Get-EsxTop -CounterName LCPU)
        $lcpu.Count | Should -Be $values[0].NumOfLCPUs
        if ($IsLinux) {
            $lcpu[0].UsedTimeInUsec + $lcpu[0].HaltTimeInUsec | Should -Be $lcpu[0].ElapsedTimeInUsec
        }
    }

    It 'keeps its forms apart' {
        (Get-Command Get-EsxTop).DefaultParameterSet | Should -Be 'Rates'
        { Get-EsxTop Cpu -Counter -ErrorAction Stop } | Should -Throw '*parameter*'
        { Get-EsxTop -Counter -TopologyInfo -ErrorAction Stop } | Should -Throw '*parameter set*'
        { Get-EsxTop -CounterName VCPU -Raw -ErrorAction Stop } | Should -Throw '*parameter set*'
        { Get-EsxTop -CounterName Coffee -ErrorAction Stop } | Should -Throw "*no counter 'Coffee'*PCPU*"
        { Get-EsxTop -TopologyInfo -Topology Coffee -ErrorAction Stop } | Should -Throw "*no topology 'Coffee'*"
        Get-EsxTop -CounterName Coff* -ErrorAction Stop | Should -BeNullOrEmpty
    }

    It 'shows its panels within 80 columns, numbers at the right, and all columns on request' {
        foreach ($panel in 'Cpu', 'Memory', 'VMDisk', 'Network', 'Power', 'Interrupt') {
            $lines = (Get-EsxTop $panel -Delay 0.1 -Expand | Out-String -Width 80) -split '\r?\n'
            ($lines | Measure-Object -Property Length -Maximum).Maximum | Should -BeLessOrEqual 80
        }
        $cpu = (Get-EsxTop -Delay 0.2 | Out-String -Width 80) -split '\r?\n'
        $cpu[1] | Should -Match '^\s+ID NAME\s+NWLD\s+%USED\s+%RUN\s+%WAIT\s+%RDY\s+%CSTP\s+%MLMTD\s+%SWPWT$'
        $cpu[3] | Should -Match '^\s+\d+ web\s+2(\s+\d+\.\d\d){6,7}\s*$'
        $all = Get-EsxTop -Delay 0.2 | Format-Table -View All | Out-String -Width 200
        $all | Should -Match 'NWLD\s+%USED\s+%RUN\s+%SYS\s+%WAIT\s+%VMWAIT\s+%RDY\s+%IDLE\s+%OVRLP\s+%CSTP\s+%MLMTD\s+%SWPWT'
    }

    It 'holds a limit and shows it' {
        # A limit is of the time that the operating system counted, so it has to be lower than what a busy host leaves.
        $null = Set-VMResource web -CpuLimitMhz ([math]::Floor((Get-VMHost).CpuTotalMhz / (Get-VMHost).NumCpuUsable / 100))
        $row = Get-EsxTop -Delay 3
        $row.PctUsed | Should -BeLessThan 10
        $row.PctMaxLimited | Should -BeGreaterThan 10
    }

    It 'refuses what it has not' {
        { Get-EsxTop Coffee -ErrorAction Stop } | Should -Throw '*there are Cpu*'
        { Get-EsxTop -Delay 0 -ErrorAction Stop } | Should -Throw '*0.1 to*'
    }

    It 'says that its screen needs a terminal' {
        $problem = pwsh -NoProfile -Command "Import-Module '$module'; try { Get-EsxTop -Interactive -ErrorAction Stop } catch { `$_.Exception.Message }" | Out-String
        $problem | Should -Match 'needs a terminal'
    }

    It 'draws its screen in a terminal and puts everything back' {
        if (-not (Get-Command script -CommandType Application -ErrorAction Ignore) -or -not $IsLinux) {
            Set-ItResult -Skipped -Because 'script of util-linux is not here, which gives a program a terminal'
            return
        }
        $log = Join-Path $TestDrive 'screen.log'
        $env:TERM = 'xterm'
        $command = "stty rows 20 cols 100; pwsh -NoProfile -Command ""Import-Module '$module'; Get-EsxTop -Interactive -Delay 0.5 -Iterations 2""; stty -a"
        $null = script -qec $command $log
        $text = Get-Content $log -Raw
        $text | Should -Match '(?s)\x1b\[\?1049h.*\bup \d.* 0 VMs.*%USED.*web: in process \d+ \(.*\x1b\[\?25h\x1b\[\?1049l'
        $text | Should -Match '[^-]icanon'
        $text | Should -Match '[^-]echo '
    }
}
