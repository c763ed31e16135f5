BeforeAll {
    $module = Join-Path $PSScriptRoot '..' '..' 'artifacts' 'Hypervisor' | Resolve-Path
    Import-Module $module -Force
    $commands = @(
        'Enter-VMConsole', 'Get-Datastore', 'Get-EsxTop', 'Get-IoControl', 'Get-ResourcePool', 'Get-Stat', 'Get-StatInterval', 'Get-StatType', 'Get-Task', 'Get-VIEvent', 'Get-VM',
        'Get-VMHost', 'Get-VMProcessorCounter', 'Get-VMResource', 'Get-VMTranslation', 'Move-ResourcePool', 'Move-VM', 'New-ResourcePool', 'New-VM', 'Remove-ResourcePool', 'Remove-VM',
        'Restart-VM', 'Send-VMConsoleText', 'Set-IoControl', 'Set-ResourcePool', 'Set-VM', 'Set-VMHost',
        'Set-VMResource', 'Start-VM', 'Stop-VM', 'Wait-Task', 'Wait-VMConsoleText')
}

Describe 'The module' {
    It 'exports its commands and nothing else' {
        (Get-Command -Module Hypervisor -CommandType Cmdlet).Name | Sort-Object | Should -Be $commands
        (Test-ModuleManifest (Join-Path $module 'Hypervisor.psd1')).ExportedCmdlets.Keys | Sort-Object | Should -Be $commands
        (Get-Command -Module Hypervisor -CommandType Alias).Name | Sort-Object | Should -Be 'Get-VMResourceConfiguration', 'Set-VMResourceConfiguration'
    }

    It 'is imported in less than a second' {
        $script = "`$watch = [Diagnostics.Stopwatch]::StartNew(); Import-Module '$module'; `$watch.ElapsedMilliseconds"
        [int](pwsh -NoProfile -Command $script) | Should -BeLessThan 1000
    }

    It 'works under a prefix' {
        $script = "Import-Module '$module' -Prefix Hv; `$env:HYPERVISOR_HOME = '$TestDrive/prefix'; (New-HvVM a -MemoryMB 64 | Get-HvVIEvent).EventTypeId; (Hypervisor\Get-VM).Name"
        pwsh -NoProfile -Command $script | Should -Be 'VmCreatedEvent', 'a'
    }

    It 'keeps its public types, and nothing of others, in the default load context' {
        $script = @"
Import-Module '$module'
`$null = Get-VMHost -HostPath '$TestDrive/context' | ForEach-Object Backends
[AppDomain]::CurrentDomain.GetAssemblies() | Where-Object { `$_.GetName().Name -match '^(Hypervisor|Iced|Microsoft.Data.Sqlite|SQLitePCLRaw)' } |
    ForEach-Object { `$_.GetName().Name + '=' + [Runtime.Loader.AssemblyLoadContext]::GetLoadContext(`$_).Name }
"@
        $found = pwsh -NoProfile -Command $script
        $found | Should -Contain 'Hypervisor.Engine=Default'
        $found | Should -Contain 'Hypervisor.Cmdlets=Default'
        $found | Where-Object { $_ -match '^(Iced|Hypervisor.Engine.Processor|Microsoft.Data.Sqlite|SQLitePCLRaw.*)=' } | Should -Not -Match '=Default$'
    }

    It 'has help with a synopsis, described parameters and examples for <_>' -ForEach @(
        'Enter-VMConsole', 'Get-Datastore', 'Get-EsxTop', 'Get-IoControl', 'Get-ResourcePool', 'Get-Stat', 'Get-StatInterval', 'Get-StatType', 'Get-Task', 'Get-VIEvent', 'Get-VM',
        'Get-VMHost', 'Get-VMProcessorCounter', 'Get-VMResource', 'Get-VMTranslation', 'Move-ResourcePool', 'Move-VM', 'New-ResourcePool', 'New-VM', 'Remove-ResourcePool', 'Remove-VM',
        'Restart-VM', 'Send-VMConsoleText', 'Set-IoControl', 'Set-ResourcePool', 'Set-VM', 'Set-VMHost',
        'Set-VMResource', 'Start-VM', 'Stop-VM', 'Wait-Task', 'Wait-VMConsoleText') {
        $help = Get-Help $_ -Full
        $help.Synopsis | Should -Not -BeNullOrEmpty
        $help.Synopsis | Should -Not -Match "^\s*$_"
        @($help.Examples.example).Count | Should -BeGreaterThan 0
        foreach ($parameter in (Get-Command $_).Parameters.Values) {
            if ($parameter.Name -notin [System.Management.Automation.PSCmdlet]::CommonParameters -and
                $parameter.Name -notin [System.Management.Automation.PSCmdlet]::OptionalCommonParameters) {
                (Get-Help $_ -Parameter $parameter.Name).description.Text | Should -Not -BeNullOrEmpty
            }
        }
        foreach ($syntax in $help.Syntax.syntaxItem) {
            'WhatIf' -in $syntax.parameter.name | Should -Be (Get-Command $_).Parameters.ContainsKey('WhatIf')
            'Confirm' -in $syntax.parameter.name | Should -Be (Get-Command $_).Parameters.ContainsKey('Confirm')
        }
    }

    It 'has an about page' {
        Get-Help about_Hypervisor | Out-String | Should -Match 'HYPERVISOR_HOME'
    }
}
