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
        'Get-IoControl'
        'Get-Task'
        'Get-VIEvent'
        'Get-VM'
        'Get-VMHost'
        'New-VM'
        'Remove-VM'
        'Restart-VM'
        'Send-VMConsoleText'
        'Set-IoControl'
        'Set-VM'
        'Start-VM'
        'Stop-VM'
        'Wait-Task'
        'Wait-VMConsoleText'
    )
    FunctionsToExport      = @()
    AliasesToExport        = @()
    VariablesToExport      = @()
    PrivateData            = @{
        PSData = @{
            Tags = @('Hypervisor', 'VM', 'ESXi', 'KVM', 'Virtualization', 'PSEdition_Core', 'Linux', 'Windows', 'MacOS')
        }
    }
}
