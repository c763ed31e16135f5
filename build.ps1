#!/usr/bin/env pwsh
<#
.SYNOPSIS
    Builds, tests and packages the Hypervisor module.
.DESCRIPTION
    Everything it does is also reachable through dotnet:

    Build    dotnet publish src/Cmdlets -c Release        lays out the module in artifacts/Hypervisor
    Test     dotnet test                                  and then the task Pester
    Package  dotnet publish src/Cmdlets -c Release -t:PackageModule
.PARAMETER Task
    Build    the module folder artifacts/Hypervisor, which Import-Module takes.
    Test     all of dotnet test, then tests/Pester against the module folder.
    Pester   only tests/Pester, against the module folder as it was built last.
    Analyze  PSScriptAnalyzer over the scripts of the repository.
    Package  the module folder and artifacts/Hypervisor.<version>.nupkg.
.PARAMETER Configuration
    Release unless said otherwise.
.EXAMPLE
    ./build.ps1
    Import-Module ./artifacts/Hypervisor
#>
[CmdletBinding()]
param(
    [ValidateSet('Build', 'Test', 'Pester', 'Analyze', 'Package')]
    [string[]] $Task = 'Build',

    [ValidateSet('Debug', 'Release')]
    [string] $Configuration = 'Release'
)

$ErrorActionPreference = 'Stop'
$root = $PSScriptRoot
$module = Join-Path $root 'artifacts' 'Hypervisor'

function Invoke-DotNet {
    & dotnet @args
    if ($LASTEXITCODE -ne 0) {
        throw "dotnet $($args -join ' ') failed with exit code $LASTEXITCODE."
    }
}

function Invoke-PesterSuite {
    if (-not (Test-Path (Join-Path $module 'Hypervisor.psd1'))) {
        throw "There is no module in $module yet: run ./build.ps1 -Task Build first."
    }
    Import-Module Pester -MinimumVersion 5.0
    $settings = New-PesterConfiguration
    $settings.Run.Path = Join-Path $root 'tests' 'Pester'
    $settings.Run.PassThru = $true
    $settings.Output.Verbosity = 'Detailed'
    $result = Invoke-Pester -Configuration $settings
    if ($result.Result -ne 'Passed') {
        throw "Pester: $($result.FailedCount) of $($result.TotalCount) tests failed."
    }
}

function Invoke-Analysis {
    Import-Module PSScriptAnalyzer
    $files = Get-ChildItem $root -Recurse -File -Include *.ps1, *.psm1, *.psd1 |
        Where-Object FullName -NotMatch '[\\/](artifacts|bin|obj|\.git)[\\/]' |
        # The manifest names files where they are laid out, not where their sources are; the module's tests check it there.
        Where-Object Name -NE 'Hypervisor.psd1'
    $findings = $files | ForEach-Object {
        Invoke-ScriptAnalyzer -Path $_.FullName -Severity Warning, Error -Settings (Join-Path $root 'PSScriptAnalyzerSettings.psd1')
    }
    $findings | Format-Table ScriptName, Line, RuleName, Message -Wrap | Out-String | Write-Output
    if ($findings) {
        throw "The script analyzer has $(@($findings).Count) findings."
    }
    Write-Output "The script analyzer found nothing in $(@($files).Count) files."
}

Push-Location $root
try {
    foreach ($name in $Task) {
        switch ($name) {
            'Build' { Invoke-DotNet publish src/Cmdlets -c $Configuration -nologo -v quiet }
            'Test' {
                Invoke-DotNet test
                Invoke-DotNet publish src/Cmdlets -c $Configuration -nologo -v quiet
                Invoke-PesterSuite
            }
            'Pester' { Invoke-PesterSuite }
            'Analyze' { Invoke-Analysis }
            'Package' { Invoke-DotNet publish src/Cmdlets -c $Configuration -nologo -v quiet -t:PackageModule }
        }
    }
}
finally {
    Pop-Location
}
