BeforeAll {
    . (Join-Path $PSScriptRoot 'TestGuest.ps1')
    $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
    Import-Module $module -Force
    $home0 = $env:HYPERVISOR_HOME
    $env:HYPERVISOR_HOME = Join-Path $TestDrive 'host'
    $kernel = Join-Path $TestDrive 'guest.elf'
    New-TestGuest $kernel
}

AfterAll {
    Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
    $env:HYPERVISOR_HOME = $home0
}

Describe 'A running machine' {
    BeforeAll {
        $vm = New-VM guest -MemoryMB 32 -KernelPath $kernel -Backend Software -AdvancedSetting @{ 'debugExit.port' = '0xf4' }
    }

    It 'is started, written to, read and stopped by hand' {
        (Start-VM guest).PowerState | Should -Be 'PoweredOn'
        (Get-VM guest).RunsOn | Should -Be 'Software'
        (Get-VM guest).Holder.ProcessId | Should -Be $PID

        $match = Wait-VMConsoleText guest -Pattern 'Hello from the (\w+) guest, (\d+)' -TimeoutSeconds 60
        $match.Groups[2] | Should -Be '42'
        $match.Line | Should -Match 'bottles$'

        Get-VM guest | Send-VMConsoleText -Text 'echo this'
        (Wait-VMConsoleText guest 'echo this' -TimeoutSeconds 60).Value | Should -Be 'echo this'

        Wait-VMConsoleText guest 'never' -TimeoutSeconds 1 -ErrorVariable problems -ErrorAction SilentlyContinue | Should -BeNullOrEmpty
        $problems[0].CategoryInfo.Category | Should -Be 'OperationTimeout'

        (Restart-VM guest).PowerState | Should -Be 'PoweredOn'
        (Wait-VMConsoleText guest 'Hello from' -TimeoutSeconds 60).Value | Should -Be 'Hello from'

        Start-VM guest -ErrorVariable problems -ErrorAction SilentlyContinue | Should -BeNullOrEmpty
        $problems[0].CategoryInfo.Category | Should -Be 'InvalidOperation'
        { Remove-VM guest -Confirm:$false -ErrorAction Stop } | Should -Throw '*powered on*'

        (Stop-VM guest -Kill -Confirm:$false).PowerState | Should -Be 'PoweredOff'
    }

    It 'refuses changes that need it off, and takes others' {
        $null = Start-VM guest
        foreach ($line in 'Set-VM guest -NumCpu 2', 'Set-VM guest -MemoryGB 1', 'Remove-VM guest -Confirm:$false') {
            $null = & ([scriptblock]::Create("$line -ErrorAction SilentlyContinue"))
            $Error[0].CategoryInfo.Category | Should -Be 'InvalidOperation'
            $Error[0].Exception.Message | Should -Match 'is powered on'
        }
        (Set-VM guest -Notes 'changed while running').Notes | Should -Be 'changed while running'
        Stop-VM guest -Kill -WhatIf
        Restart-VM guest -WhatIf
        (Get-VM guest).PowerState | Should -Be 'PoweredOn'
        (Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false).PowerState | Should -Be 'PoweredOff'
    }

    It 'asks before -Kill unless told not to' {
        $null = Start-VM guest
        $shell = [powershell]::Create()
        try {
            # A runspace without a host has nobody to ask.
            $null = $shell.AddScript("Import-Module '$module'; Stop-VM guest -Kill").Invoke()
            $shell.Streams.Error.Count + [int]$shell.HadErrors | Should -BeGreaterThan 0
        }
        catch {
            $_.Exception.Message | Should -Match 'prompt|interaction|user'
        }
        finally {
            $shell.Dispose()
        }
        (Get-VM guest).PowerState | Should -Be 'PoweredOn'
        $ConfirmPreference = 'None'
        (Stop-VM guest -Kill).PowerState | Should -Be 'PoweredOff'
    }

    It 'gives up <Line> when the pipeline is stopped' -ForEach @(
        @{ Line = 'Wait-VMConsoleText guest never -TimeoutSeconds 600' }
        @{ Line = 'Stop-VM guest -TimeoutSeconds 600' }
        @{ Line = 'Enter-VMConsole guest' }
    ) {
        if ((Get-VM guest).PowerState -ne 'PoweredOn') {
            $null = Start-VM guest
        }
        $shell = [powershell]::Create()
        $null = $shell.AddScript("Import-Module '$module'; 'ready'; $Line")
        $output = [System.Management.Automation.PSDataCollection[psobject]]::new()
        $null = $shell.BeginInvoke([System.Management.Automation.PSDataCollection[psobject]]::new(), $output)
        while ($output.Count -eq 0) {
            Start-Sleep -Milliseconds 50
        }
        $shell.BeginStop($null, $null).AsyncWaitHandle.WaitOne(60000) | Should -BeTrue
        $shell.InvocationStateInfo.State | Should -Be 'Stopped'
        $shell.Dispose()
        (Get-VM guest).PowerState | Should -Be 'PoweredOn'
    }

    It 'goes on when the module is removed and imported again' {
        Remove-Module Hypervisor
        Import-Module $module
        Send-VMConsoleText guest 'still there'
        (Wait-VMConsoleText guest 'still there' -TimeoutSeconds 60).Value | Should -Be 'still there'
        $null = Stop-VM guest -Kill -Confirm:$false
    }

    It 'is one of many that runspaces run at once' {
        $null = 1..4 | ForEach-Object { New-VM "p$_" -MemoryMB 32 -KernelPath $kernel -Backend Software }
        $found = Get-VM p? | ForEach-Object -Parallel {
            Import-Module $using:module
            $_ | Start-VM -RunAsync | Wait-Task | Wait-VMConsoleText -Text 'bottles' -TimeoutSeconds 100
            Stop-VM $_ -Kill -Confirm:$false | Out-Null
        }
        $found.Value | Should -Be (@('bottles') * 4)
        (Get-VM p?).PowerState | Should -Be (@('PoweredOff') * 4)
        ($found[0] | Out-String) -replace '\x1b\[[0-9;]*m' | Should -Match 'Value\s+Line'
    }

    It 'is held against another process, which is told who holds it' {
        $null = Start-VM guest
        $script = "Import-Module '$module'; (Get-VM guest).PowerState; try { Start-VM guest -ErrorAction Stop } catch { `$_.Exception.Message }"
        $answer = pwsh -NoProfile -Command $script
        $answer[0] | Should -Be 'PoweredOn'
        $answer[1] | Should -Match "run by process $PID \(pwsh\)"
        $null = Stop-VM guest -Kill -Confirm:$false
    }

    It 'streams its console where there is no terminal, takes redirected input and ends with its guest' {
        $script = "Import-Module '$module'; Start-VM guest | Enter-VMConsole -TimeoutSeconds 100; (Get-VM guest).PowerState"
        $text = 'typed', 'q' | pwsh -NoProfile -Command $script | Out-String
        $text | Should -Match 'Hello from the test guest'
        $text | Should -Match 'typed'
        $text | Should -Match 'PoweredOff'
        (Get-VIEvent guest -MaxSamples 1).FullFormattedMessage | Should -Match 'powered off'
    }

    It 'is shut down in order, and not lost silently, when its process ends' {
        $script = "Import-Module '$module'; `$null = Start-VM guest"
        $text = pwsh -NoProfile -Command $script 2>&1 | Out-String
        $text | Should -Match 'still running here: guest'
        (Get-VM guest).PowerState | Should -Be 'PoweredOff'
    }
}
