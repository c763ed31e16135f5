Describe 'Machines' {
    BeforeAll {
        $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
        Import-Module $module -Force
        $home0 = $env:HYPERVISOR_HOME
    }

    BeforeEach {
        $env:HYPERVISOR_HOME = Join-Path $TestDrive ([guid]::NewGuid())
    }

    AfterAll {
        $env:HYPERVISOR_HOME = $home0
    }

    Context 'Making and finding machines' {
        It 'gives PowerCLI''s properties' {
            $vm = New-VM -Name web -MemoryGB 0.5 -NumCpu 4 -CoresPerSocket 2 -Notes 'first' -Backend Software -AdvancedSetting @{ 'debugExit.port' = '0xf4' }
            $vm.Name | Should -Be 'web'
            $vm.PowerState | Should -Be 'PoweredOff'
            $vm.MemoryMB | Should -Be 512
            $vm.MemoryGB | Should -Be 0.5
            $vm.NumCpu | Should -Be 4
            $vm.CoresPerSocket | Should -Be 2
            $vm.Notes | Should -Be 'first'
            $vm.CreateDate | Should -BeGreaterThan (Get-Date).AddMinutes(-5)
            $vm.ExtensionData.Config.AdvancedSettings['debugExit.port'] | Should -Be '0xf4'
            foreach ($name in 'Id', 'VMHost', 'Folder', 'ResourcePool', 'Guest', 'GuestId', 'UsedSpaceGB', 'ProvisionedSpaceGB') {
                $vm.PSObject.Properties.Name | Should -Contain $name
            }
        }

        It 'finds by name, wildcard, id and in -HostPath' {
            $null = New-VM web1; $null = New-VM web2; $db = New-VM db
            (Get-VM).Name | Should -Be 'db', 'web1', 'web2'
            (Get-VM WEB*).Name | Should -Be 'web1', 'web2'
            (Get-VM db, web[2]).Name | Should -Be 'db', 'web2'
            (Get-VM -Id $db.Id).Name | Should -Be 'db'
            Get-VM none* | Should -BeNullOrEmpty
            Get-VM -HostPath (Join-Path $TestDrive other) | Should -BeNullOrEmpty
        }

        It 'resolves paths against the location, not the process''s folder' {
            Set-Content -Path (Join-Path $TestDrive 'disk.raw') -Value 'x'
            Push-Location $TestDrive
            try {
                (New-VM a -DiskPath ./disk.raw).DiskPath | Should -Be (Join-Path $TestDrive 'disk.raw')
            }
            finally {
                Pop-Location
            }
        }

        It 'takes objects with properties from the pipeline' {
            $made = @'
Name,NumCpu,MemoryGB,Notes
a,2,1,from a file
b,1,0.25,
'@ | ConvertFrom-Csv | New-VM
            $made.Name | Should -Be 'a', 'b'
            $made[0].MemoryMB | Should -Be 1024
            $made[0].Notes | Should -Be 'from a file'
        }

        It 'shows Name, PowerState, Num CPUs and MemoryGB by default' {
            $text = New-VM web -MemoryMB 1536 | Out-String
            $text = $text -replace '\x1b\[[0-9;]*m'
            $text | Should -Match 'Name\s+PowerState\s+Num CPUs\s+MemoryGB'
            $text | Should -Match 'web\s+PoweredOff\s+1\s+1[.,]5'
        }

        It 'shows tasks and events as tables' {
            $null = New-VM web
            ((Get-Task) | Out-String) -replace '\x1b\[[0-9;]*m' | Should -Match 'Name\s+Entity\s+State\s+% Complete'
            ((Get-VIEvent) | Out-String) -replace '\x1b\[[0-9;]*m' | Should -Match 'CreatedTime\s+Severity\s+UserName\s+Message'
        }

        It 'reads and writes numbers the same in another culture' {
            $script = "[cultureinfo]::CurrentCulture = 'de-DE'; Import-Module '$module'; " +
                "`$null = New-VM a -MemoryGB 0.5; `$null = Set-VM a -MemoryGB '1.5'; (Get-VM a).MemoryMB; (Get-VIEvent a -Start (Get-Date).AddHours(-1)).Count"
            pwsh -NoProfile -Command $script | Should -Be '1536', '2'
        }

        It 'completes names of machines' {
            $null = New-VM web1; $null = New-VM 'two words'
            (TabExpansion2 'Get-VM we' 9).CompletionMatches.CompletionText | Should -Be 'web1'
            (TabExpansion2 'New-VM c -Backend s' 19).CompletionMatches.CompletionText | Should -Be 'Software'
            (TabExpansion2 'Get-VIEvent -Entity w' 21).CompletionMatches.CompletionText | Should -Be 'web1'
            (TabExpansion2 'Start-VM -VM tw' 15).CompletionMatches.CompletionText | Should -Be "'two words'"
        }
    }

    Context 'Changing machines' {
        It 'changes through the pipeline and by name' {
            $null = New-VM a; $null = New-VM b
            (Get-VM | Set-VM -NumCpu 2 -Confirm:$false).NumCpu | Should -Be 2, 2
            (Set-VM a -MemoryGB 1 -Name c).Name | Should -Be 'c'
            (Get-VM c).MemoryGB | Should -Be 1
            (Get-VM c).NumCpu | Should -Be 2
        }

        It 'changes nothing with -WhatIf' {
            $null = New-VM a
            New-VM b -WhatIf
            Get-VM a | Set-VM -NumCpu 4 -WhatIf
            Start-VM a -WhatIf
            Stop-VM a -WhatIf
            Restart-VM a -WhatIf
            Remove-VM a -WhatIf
            (Get-VM).Name | Should -Be 'a'
            (Get-VM).NumCpu | Should -Be 1
        }

        It 'removes, and asks for confirmation by default' {
            (Get-Command Remove-VM).ImplementingType.GetCustomAttributes([System.Management.Automation.CmdletAttribute], $false).ConfirmImpact | Should -Be 'High'
            $vm = New-VM a
            $vm | Remove-VM -DeletePermanently -Confirm:$false
            Get-VM | Should -BeNullOrEmpty
            Test-Path $vm.ExtensionData.Folder | Should -BeFalse
        }

        It 'gives tasks with -RunAsync' {
            $task = New-VM a -RunAsync
            $task | Should -BeOfType Hypervisor.Engine.Inventory.VITask
            ($task | Wait-Task).Name | Should -Be 'a'
            $task.State | Should -Be 'Success'
            $task.PercentComplete | Should -Be 100
            (Get-Task -Status Success).Name | Should -Be 'CreateVM_Task'
        }

        It 'records events, newest first' {
            $null = New-VM a; $null = Set-VM a -Notes x; $null = New-VM b
            (Get-VM a | Get-VIEvent).EventTypeId | Should -Be 'VmReconfiguredEvent', 'VmCreatedEvent'
            @(Get-VIEvent -MaxSamples 1).FullFormattedMessage | Should -Match 'Created virtual machine b'
            Get-VIEvent -Finish (Get-Date).AddHours(-1) | Should -BeNullOrEmpty
        }
    }

    Context 'Errors' {
        It 'go on after a name that matches nothing, with ObjectNotFound' {
            $null = New-VM a
            (Get-VM nope, a -ErrorVariable problems -ErrorAction SilentlyContinue).Name | Should -Be 'a'
            $problems[0].CategoryInfo.Category | Should -Be 'ObjectNotFound'
            $problems[0].FullyQualifiedErrorId | Should -Be 'MachineNotFound,Hypervisor.Cmdlets.GetVMCommand'
            { Start-VM nope -ErrorAction Stop } | Should -Throw -ErrorId 'MachineNotFound,*'
        }

        It 'have the category <Category> for: <Line>' -ForEach @(
            @{ Line = 'New-VM taken'; Category = 'ResourceExists' }
            @{ Line = 'New-VM a -MemoryMB 1'; Category = 'InvalidArgument' }
            @{ Line = 'New-VM a -MemoryGB 1000000'; Category = 'InvalidArgument' }
            @{ Line = 'New-VM a -NumCpu 99'; Category = 'InvalidArgument' }
            @{ Line = 'New-VM a/b'; Category = 'InvalidArgument' }
            @{ Line = 'New-VM a -KernelPath /nowhere/vmlinuz'; Category = 'InvalidArgument' }
            @{ Line = 'New-VM a -PortForward nonsense'; Category = 'InvalidArgument' }
            @{ Line = 'Stop-VM taken -Kill -Confirm:$false'; Category = 'InvalidOperation' }
            @{ Line = 'Enter-VMConsole taken'; Category = 'InvalidOperation' }
            @{ Line = 'Send-VMConsoleText taken hello'; Category = 'InvalidOperation' }
            @{ Line = 'Get-VM -Id 11111111-1111-1111-1111-111111111111'; Category = 'ObjectNotFound' }
            @{ Line = 'Get-Task -Id nope'; Category = 'ObjectNotFound' }
            @{ Line = "'taken' | Start-VM"; Category = 'InvalidArgument' }
        ) {
            $null = New-VM taken
            & ([scriptblock]::Create("$Line -ErrorAction SilentlyContinue")) | Should -BeNullOrEmpty
            $Error[0].CategoryInfo.Category | Should -Be $Category
            @(Get-VM).Count | Should -Be 1
        }

        It 'refuse a configuration of a newer version by name, as a warning beside the others' {
            $null = New-VM whole
            $vm = New-VM newer
            $file = Join-Path $vm.ExtensionData.Folder 'machine.json'
            (Get-Content $file -Raw) -replace '"schemaVersion": 1', '"schemaVersion": 7' | Set-Content $file
            (Get-VM -WarningVariable warnings -WarningAction SilentlyContinue).Name | Should -Be 'whole'
            $warnings | Should -Match 'schemaVersion 7'
        }
    }

    Context 'The host' {
        It 'says what it found about every backend' {
            $vmhost = Get-VMHost
            $vmhost.Path | Should -Be $env:HYPERVISOR_HOME
            $vmhost.MemoryTotalMB | Should -BeGreaterThan 0
            $vmhost.Backends.Backend | Should -Contain 'Software'
            @($vmhost.Backends | Where-Object IsDefault).Count | Should -Be 1
            $vmhost.Backends | ForEach-Object { $_.Reason | Should -Not -BeNullOrEmpty }
        }
    }
}
