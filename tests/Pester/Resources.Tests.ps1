Describe 'Resources' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'TestGuest.ps1')
        $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
        Import-Module $module -Force
        $home0 = $env:HYPERVISOR_HOME
        $kernel = Join-Path $TestDrive 'guest.bin'
        New-TestGuest $kernel
    }

    BeforeEach {
        $env:HYPERVISOR_HOME = Join-Path $TestDrive ([guid]::NewGuid())
        $null = New-VM web -MemoryMB 16 -KernelPath $kernel -Backend Software -AdvancedSetting @{ 'debugExit.port' = '0xf4' }
    }

    AfterEach {
        Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
    }

    AfterAll {
        $env:HYPERVISOR_HOME = $home0
    }

    It 'has vSphere''s defaults' {
        $found = Get-VMResource web
        $found.CpuSharesLevel | Should -Be 'Normal'
        $found.NumCpuShares | Should -Be 1000
        $found.CpuReservationMhz | Should -Be 0
        $found.CpuLimitMhz | Should -Be -1
        $found.MemLimitGB | Should -Be -1
        (Get-VM web).VMResourceConfiguration.NumMemShares | Should -Be 160
        (Get-VM web).ResourcePool | Should -Be 'Resources'
    }

    It 'is written as in PowerCLI too' {
        $set = Get-VM web | Get-VMResourceConfiguration | Set-VMResourceConfiguration -CpuLimitMhz 500 -CpuReservationMhz 100 -CpuSharesLevel High -MemReservationMB 8
        $set.CpuLimitMhz | Should -Be 500
        $set.NumCpuShares | Should -Be 2000
        (Set-VMResource web -CpuLimitMhz $null).CpuLimitMhz | Should -Be -1
        (Set-VMResource web -NumCpuShares 123).CpuSharesLevel | Should -Be 'Custom'
        (Get-VMResource web).CpuReservationMhz | Should -Be 100
        (Get-VMResource web).MemReservationMB | Should -Be 8
    }

    It 'refuses what cannot be, in words' {
        { Set-VMResource web -CpuReservationMhz 200 -CpuLimitMhz 100 -ErrorAction Stop } | Should -Throw '*100 MHz above its limit*'
        { Set-VMResource web -NumCpuShares -1 -ErrorAction Stop } | Should -Throw '*1 to 1000000*'
        { Set-VMResource web -CpuSharesLevel Custom -ErrorAction Stop } | Should -Throw '*-NumCpuShares*'
        { Set-VMResource none -CpuLimitMhz 1 -ErrorAction Stop } | Should -Throw '*no virtual machine named*'
        { New-ResourcePool greedy -CpuReservationMhz 99999999 -ErrorAction Stop } | Should -Throw '*too much*'
    }

    It 'makes, nests, finds, changes and removes pools' {
        $outer = New-ResourcePool outer -CpuSharesLevel High
        $inner = $outer | New-ResourcePool -Name inner -CpuLimitMhz 100
        $inner.Parent | Should -Be 'outer'
        $outer.NumCpuShares | Should -Be 8000
        (Get-ResourcePool).Name | Should -Be 'Resources', 'outer', 'inner'
        (Get-ResourcePool -Location outer).Name | Should -Be 'inner'
        (Get-ResourcePool -Location Resources -NoRecursion).Name | Should -Be 'outer'
        (Move-VM web -Destination inner).ResourcePool | Should -Be 'inner'
        (Get-VM web | Get-ResourcePool).Name | Should -Be 'inner'
        (Set-ResourcePool inner -Name renamed -CpuLimitMhz $null).CpuLimitMHz | Should -Be -1
        Remove-ResourcePool renamed -WhatIf
        Remove-ResourcePool renamed -Confirm:$false
        (Get-VM web).ResourcePool | Should -Be 'outer'
        (New-VM other -MemoryMB 16 -ResourcePool outer).ResourcePool | Should -Be 'outer'
        { Get-ResourcePool none -ErrorAction Stop } | Should -Throw '*no resource pool named*'
    }

    It 'takes the host for its own pool, and pools for places, as PowerCLI does' {
        (Get-VMHost | New-ResourcePool -Name outer).Parent | Should -Be 'Resources'
        (New-ResourcePool -Location (Get-VMHost) -Name other).Parent | Should -Be 'Resources'
        $null = Get-ResourcePool outer | New-ResourcePool -Name inner
        (Get-VMHost | Get-ResourcePool -NoRecursion).Name | Should -Be 'outer', 'other'
        $null = Get-VM web | Move-VM -Destination (Get-ResourcePool inner)
        (Get-ResourcePool outer | Get-VM).Name | Should -Be 'web'
        Get-VM -Location outer -NoRecursion | Should -BeNullOrEmpty
        (Get-VM web).ResourcePool.Name | Should -Be 'inner'
        (Get-VM | Where-Object ResourcePool -EQ inner).Name | Should -Be 'web'
        (Get-VM web | Get-VMHost).Name | Should -Be (Get-VMHost).Name
        (Move-VM web -Destination (Get-VMHost)).ResourcePool.Name | Should -Be 'Resources'
        (Get-VMHost | Set-VMHost -MemoryBudgetMB 512).MemoryBudgetMB | Should -Be 512
    }

    It 'moves pools, and not into themselves' {
        $null = New-ResourcePool outer
        $null = New-ResourcePool inner -Location outer
        { Move-ResourcePool outer -Destination inner -ErrorAction Stop } | Should -Throw "*'outer' in 'inner' in 'outer'*"
        (Get-ResourcePool inner | Move-ResourcePool -Destination (Get-VMHost)).Parent | Should -Be 'Resources'
        (Move-ResourcePool outer inner).Parent | Should -Be 'inner'
    }

    It 'has PowerCLI''s parameters' {
        (Set-VMResourceConfiguration -Configuration (Get-VMResourceConfiguration web) -CpuAffinity Cpu0 -HtCoreSharing Any).CpuAffinityList | Should -Be 0
        (Set-VMResource web -CpuAffinity NoAffinity).CpuAffinityList | Should -BeNullOrEmpty
        { Set-VMResource web -HtCoreSharing None -ErrorAction Stop } | Should -Throw '*keeps no core*'
        { Set-VMResource web -MemReservationMB -1 -ErrorAction Stop } | Should -Throw '*0 MB or more*'
        $problem = $null
        Get-ResourcePool -Id nothing -ErrorAction SilentlyContinue -ErrorVariable problem
        $problem[0].CategoryInfo.Category | Should -Be 'ObjectNotFound'
    }

    It 'takes a variable that holds nothing for a mistake, and not for everything' {
        { Get-VMResource -VM $null } | Should -Throw '*null*'
        { Get-VM -Location $null } | Should -Throw '*null*'
        { Get-ResourcePool -Location $null } | Should -Throw '*null*'
        { Get-Stat -Entity $null } | Should -Throw '*null*'
        @() | Get-VMResource | Should -BeNullOrEmpty
    }

    It 'shows tables that fit 80 columns, also with long names, and cuts no number' {
        $long = 'production-databases-of-the-region-eu-west-1'
        $null = New-ResourcePool $long -CpuReservationMhz 100 -MemReservationMB 100
        $null = New-ResourcePool inner -Location $long -NumCpuShares 1000000
        $null = New-VM "$long-1" -MemoryMB 16 -KernelPath $kernel -Backend Software
        foreach ($table in (Get-ResourcePool), (Get-VMResource)) {
            $lines = (($table | Out-String -Width 80) -replace '\x1b\[[0-9;]*m').Trim() -split '\r?\n'
            $lines[1] | Should -Match '^-' -Because 'the header has one line'
            $lines[0] | Should -Match 'MemResGB MemLimGB (VM|Name\s+Parent)$'
            $lines | Select-Object -Skip 2 | Should -Match '^(Normal|Custom)( +-?[\d.]+){5,6} \S'
            ($lines | Measure-Object -Property Length -Maximum).Maximum | Should -BeLessOrEqual 80
        }
    }

    It 'proposes names' {
        $null = New-ResourcePool 'my pool'
        (TabExpansion2 'Move-VM web -Destination my').CompletionMatches.CompletionText | Should -Be "'my pool'"
        (TabExpansion2 'Get-EsxTop -Panel m').CompletionMatches.CompletionText | Should -Be 'Memory'
        (TabExpansion2 'Get-StatInterval ').CompletionMatches.CompletionText | Should -Contain "'Past day'"
        (TabExpansion2 'Get-StatType cpu.ready').CompletionMatches.CompletionText | Should -Be 'cpu.ready.summation'
        (TabExpansion2 'Get-IoControl -Datastore /').CompletionMatches.CompletionText | Should -Contain (Get-IoControl).Datastore[0]
    }

    It 'refuses advanced settings that cannot be when they are set' {
        { Set-VM web -AdvancedSetting @{ 'sched.mem.maxmemctl' = 1e12 } -ErrorAction Stop } | Should -Throw "*sched.mem.maxmemctl is '1000000000000'*from 0 (no balloon) to 2147483647*"
        { New-VM other -MemoryMB 16 -AdvancedSetting @{ 'balloon.reporting' = 'no' } -ErrorAction Stop } | Should -Throw "*balloon.reporting is 'no'*'true' or 'false'*"
        { Set-VM web -AdvancedSetting @{ 'sched.cpu.shares' = 'high' } -ErrorAction Stop } | Should -Throw "*no advanced setting 'sched.cpu.shares'*Set-VMResource*"
        (Get-VM).Name | Should -Be 'web'
        $set = Set-VM web -AdvancedSetting @{ 'sched.mem.maxmemctl' = -1; 'balloon.reporting' = $false }
        $set.ExtensionData.Config.AdvancedSettings['balloon.reporting'] | Should -Be 'False'
        (Set-VM web -AdvancedSetting @{ 'balloon.reporting' = $null }).ExtensionData.Config.AdvancedSettings.Keys | Should -Not -Contain 'balloon.reporting'
    }

    It 'has no disks to set in a machine without any' {
        (Get-VMResource web).DiskResourceConfiguration | Should -BeNullOrEmpty
        { Set-VMResource web -NumDiskShares 5 -ErrorAction Stop } | Should -Throw '*''web'' has no disk*'
        { Set-VMResource web -Disk 1 -NumDiskShares 5 -ErrorAction Stop } | Should -Throw '*no disk ''1''. It has none*'
    }

    It 'changes a machine that runs' {
        $null = Start-VM web | Wait-VMConsoleText -Text '42 bottles' -TimeoutSeconds 30
        (Set-VMResource web -CpuLimitMhz 300).CpuLimitMhz | Should -Be 300
        $null = New-ResourcePool slow -CpuLimitMhz 200
        (Move-VM web slow).ResourcePool | Should -Be 'slow'
        Send-VMConsoleText web -Text 'x'
        Wait-VMConsoleText web -Text 'x' -TimeoutSeconds 30 | Should -Not -BeNullOrEmpty
    }

    It 'gives the host a budget' {
        $all = (Get-VMHost).CpuTotalMhz
        $all | Should -BeGreaterThan 0
        $half = Set-VMHost -AdvancedSetting @{ 'sched.powerIdleInWatts' = 10; 'sched.powerBusyInWatts' = 30; 'sched.powerCapInWatts' = 20 }
        $half.CpuTotalMhz | Should -Be ([math]::Floor($all / 2))
        { Set-VMHost -AdvancedSetting @{ 'sched.powerCapInWatts' = 5 } -ErrorAction Stop } | Should -Throw '*nothing could run*'
        (Set-VMHost -AdvancedSetting @{ 'sched.powerCapInWatts' = $null }).CpuTotalMhz | Should -Be $all
    }

    It 'gives the host a memory budget' {
        $usual = (Get-VMHost).MemoryBudgetMB
        $usual | Should -BeLessThan (Get-VMHost).MemoryTotalMB
        (Set-VMHost -MemoryBudgetMB 512).MemoryBudgetGB | Should -Be 0.5
        (Get-VMHost).AdvancedSettings['Mem.BudgetMB'] | Should -Be '512'
        (Set-VMHost -MemoryBudgetGB 1 -AdvancedSetting @{ 'Mem.IdleTax' = 50 }).MemoryBudgetMB | Should -Be 1024
        { Set-VMHost -MemoryBudgetMB 1 -ErrorAction Stop } | Should -Throw '*whole number from 64*'
        { Set-VMHost -MemoryBudgetMB 512 -AdvancedSetting @{ 'mem.budgetmb' = 512 } -ErrorAction Stop } | Should -Throw '*give one of them*'
        { Set-VMHost -ErrorAction Stop } | Should -Throw '*Nothing to change*'
        (Set-VMHost -AdvancedSetting @{ 'Mem.AllocGuestLargePage' = 0 }).AdvancedSettings['Mem.AllocGuestLargePage'] | Should -Be '0'
        { Set-VMHost -AdvancedSetting @{ 'Mem.AllocGuestLargePage' = 2 } -ErrorAction Stop } | Should -Throw '*from 0 to 1*'
        $null = Set-VMHost -AdvancedSetting @{ 'Mem.AllocGuestLargePage' = $null }
        $null = New-ResourcePool reserved -MemReservationMB 600
        { Set-VMHost -MemoryBudgetMB 512 -ErrorAction Stop } | Should -Throw '*it can promise 496 MB*MB too much*'
        Remove-ResourcePool reserved -Confirm:$false
        (Set-VMHost -MemoryBudgetMB $null -AdvancedSetting @{ 'Mem.IdleTax' = $null }).MemoryBudgetMB | Should -Be $usual
    }
}
