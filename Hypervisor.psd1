@{
    RootModule             = 'lib/Hypervisor.Cmdlets.dll'
    ModuleVersion          = '0.1.0'
    GUID                   = '5d0f8a4c-6f0b-4a55-9a0e-3a1f0f1b7c52'
    Author                 = 'The Hypervisor authors'
    CompanyName            = 'The Hypervisor authors'
    Copyright              = 'Copyright (c) the Hypervisor authors. MIT licence.'
    Description            = 'An ESXi-style hypervisor that lives inside PowerShell: New-VM, Start-VM, Enter-VMConsole.'
    CompatiblePSEditions   = @('Core')
    PowerShellVersion      = '7.6'
    FormatsToProcess       = @('Hypervisor.Format.ps1xml')
    CmdletsToExport        = @(
        'Enter-VMConsole'
        'Get-Datastore'
        'Get-EsxTop'
        'Get-IoControl'
        'Get-ResourcePool'
        'Get-Stat'
        'Get-StatInterval'
        'Get-StatType'
        'Get-Task'
        'Get-VIEvent'
        'Get-VM'
        'Get-VMHost'
        'Get-VMProcessorCounter'
        'Get-VMResource'
        'Get-VMTranslation'
        'Move-ResourcePool'
        'Move-VM'
        'New-ResourcePool'
        'New-VM'
        'Remove-ResourcePool'
        'Remove-VM'
        'Restart-VM'
        'Send-VMConsoleText'
        'Set-IoControl'
        'Set-ResourcePool'
        'Set-VM'
        'Set-VMHost'
        'Set-VMResource'
        'Start-VM'
        'Stop-VM'
        'Wait-Task'
        'Wait-VMConsoleText'
    )
    FunctionsToExport      = @()
    AliasesToExport        = @('Get-VMResourceConfiguration', 'Set-VMResourceConfiguration')
    VariablesToExport      = @()
    PrivateData            = @{
        PSData = @{
            Tags = @('Hypervisor', 'VM', 'ESXi', 'KVM', 'Virtualization', 'PSEdition_Core', 'Linux', 'Windows', 'MacOS')
        }
    }
}
