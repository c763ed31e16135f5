Describe 'Counters and translations of the software processor' {
    BeforeAll {
        . (Join-Path $PSScriptRoot 'TestGuest.ps1')
        $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
        Import-Module $module -Force
        $home0 = $env:HYPERVISOR_HOME
        $env:HYPERVISOR_HOME = Join-Path $TestDrive 'home'
        $kernel = Join-Path $TestDrive 'guest.bin'
        New-TestGuest $kernel
        $null = New-VM web -MemoryMB 16 -NumCpu 2 -KernelPath $kernel -Backend Software -AdvancedSetting @{ 'debugExit.port' = '0xf4' }
        $null = New-VM off -MemoryMB 16 -KernelPath $kernel -Backend Software
        $null = Start-VM web
        $null = Wait-VMConsoleText web '> ' -TimeoutSeconds 30
    }

    AfterAll {
        Get-VM | Where-Object PowerState -EQ PoweredOn | Stop-VM -Kill -Confirm:$false | Out-Null
        $env:HYPERVISOR_HOME = $home0
    }

    It 'gives one object a virtual processor' {
        $found = Get-VM web | Get-VMProcessorCounter
        $found.Index | Should -Be 0, 1
        $found.VMName | Should -Be 'web', 'web'
        $found[0].Backend | Should -Be 'Software'
        $found[0].DecodedBlocks | Should -BeGreaterThan 0
        $found[0].CacheLimit | Should -BeGreaterThan 0
        $found[0].ExitsByInstruction.GetType().IsArray | Should -BeTrue
        (Get-VMProcessorCounter web -ProcessorIndex 1).Index | Should -Be 1
    }

    It 'samples where the time goes' {
        # The guest polls its serial port all the time.
        $before = Get-VMProcessorCounter web 0
        $watch = [Diagnostics.Stopwatch]::StartNew()
        do {
            Start-Sleep -Milliseconds 20
            $after = Get-VMProcessorCounter web 0
            $spent = $after.InterpretedTime + $after.TranslatedTime - $before.InterpretedTime - $before.TranslatedTime
        } until ($spent -gt 0 -or $watch.Elapsed.TotalSeconds -gt 30)
        $spent | Should -BeGreaterThan ([timespan]::Zero)
    }

    It 'lists the code that the guest runs, and the guest goes on' {
        $lines = Get-VMTranslation web
        $lines[0].Guest | Should -BeLike '; *0x1000*'
        $lines = Get-VMTranslation web -Address 0x100035
        $lines.Guest | Where-Object { $_ -like '0x*in al, dx' } | Should -Not -BeNullOrEmpty
        $lines | Out-String -Width 200 | Should -Match 'Offset\s+Guest\s+Host'
        Send-VMConsoleText web 'x' -NoNewline
        { Wait-VMConsoleText web 'x' -TimeoutSeconds 30 } | Should -Not -Throw
    }

    It 'takes addresses of the upper half as they are written' {
        (Get-VMTranslation web 0xffffffff81000000).Address | Should -Be 0xffffffff81000000ul
        (Get-VMTranslation web -Address (-2130706432)).Address | Should -Be 0xffffffff81000000ul
    }

    It 'shows a table' {
        Get-VMProcessorCounter web | Out-String -Width 200 | Should -Match 'VMName\s+Index\s+Interpreted\s+Translated\s+Blocks\s+Entries'
    }

    It 'refuses <Line> with <Text>' -ForEach @(
        @{ Line = 'Get-VMProcessorCounter off'; Text = '''off'' is powered off'; Category = 'InvalidOperation' }
        @{ Line = 'Get-VMTranslation off'; Text = '''off'' is powered off'; Category = 'InvalidOperation' }
        @{ Line = 'Get-VMProcessorCounter web 2'; Text = 'no virtual processor 2'; Category = 'InvalidOperation' }
        @{ Line = 'Get-VMTranslation web -ProcessorIndex 2'; Text = 'no virtual processor 2*0 to 1'; Category = 'InvalidOperation' }
        @{ Line = 'Get-VMTranslation web here'; Text = '''here'' is no address'; Category = 'InvalidArgument' }
        @{ Line = 'Get-VMProcessorCounter nope'; Text = 'no virtual machine'; Category = 'ObjectNotFound' }) {
        & ([scriptblock]::Create("$Line -ErrorVariable script:problems -ErrorAction SilentlyContinue")) | Should -BeNullOrEmpty
        $problems[0].Exception.Message | Should -BeLike "*$Text*"
        $problems[0].CategoryInfo.Category | Should -Be $Category
    }

    It 'has none of a machine that was powered off' {
        Stop-VM web -Kill -Confirm:$false | Out-Null
        Get-VMProcessorCounter web -ErrorAction SilentlyContinue | Should -BeNullOrEmpty
    }
}
