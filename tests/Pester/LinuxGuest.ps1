# A stock Debian kernel and a small initial RAM disk for it. Packages come from the cache that hv quickstart and the guest tests fill,
# else through apt, as the user, without installing anything.
function Get-DebianPackage {
    [OutputType([string])]
    param([Parameter(Mandatory)][string] $Pattern, [Parameter(Mandatory)][string] $Name)

    $root = $env:XDG_CACHE_HOME ? $env:XDG_CACHE_HOME : (Join-Path $HOME '.cache')
    $cache = Join-Path $root 'hypervisor' 'debian'
    $found = Get-ChildItem $cache -Directory -Filter $Pattern -ErrorAction Ignore | Sort-Object LastWriteTime | Select-Object -Last 1
    if ($found) {
        return $found.FullName
    }
    if (-not (Get-Command apt-get, apt-cache, dpkg-deb -ErrorAction Ignore)) {
        throw "$Name is not in $cache, and there is no apt to get it."
    }

    # The meta package of the kernel stands for the one it depends on.
    $depends = apt-cache depends $Name 2>$null | Select-String -Pattern 'Depends:\s+(linux-image-\d\S*)' | Select-Object -First 1
    $package = $depends ? $depends.Matches[0].Groups[1].Value : $Name
    $work = Join-Path $TestDrive $package
    $null = New-Item -ItemType Directory -Force $work
    Push-Location $work
    try {
        $answer = apt-get download -q $package 2>&1 | Out-String
    }
    finally {
        Pop-Location
    }
    $archive = Get-ChildItem $work -Filter *.deb | Select-Object -First 1
    if (-not $archive) {
        throw "apt-get download $package gave no package: $($answer.Trim())"
    }
    $files = Join-Path $work 'files'
    dpkg-deb -x $archive.FullName $files
    $files
}

# A cpio archive of the format "newc" (Linux, Documentation/driver-api/early-userspace/buffer-format.rst): a header of thirteen
# hexadecimal fields, the name, the content, each padded to four bytes.
function New-TestRamDisk {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Writes one file of the test.')]
    param([Parameter(Mandatory)][string] $Path, [Parameter(Mandatory)][string] $Busybox, [Parameter(Mandatory)][string] $Init, [string[]] $Module = @())

    $directory = 0x41ED
    $program = 0x81ED
    $entries = @(
        @{ Name = 'bin'; Mode = $directory; Content = [byte[]]@() }
        @{ Name = 'proc'; Mode = $directory; Content = [byte[]]@() }
        @{ Name = 'bin/busybox'; Mode = $program; Content = [IO.File]::ReadAllBytes($Busybox) }
        @{ Name = 'init'; Mode = $program; Content = [Text.Encoding]::ASCII.GetBytes($Init.ReplaceLineEndings("`n")) }
        $Module | ForEach-Object { @{ Name = Split-Path $_ -Leaf; Mode = $program; Content = [IO.File]::ReadAllBytes($_) } }
        @{ Name = 'TRAILER!!!'; Mode = 0; Content = [byte[]]@() })
    $archive = [IO.MemoryStream]::new()
    $number = 1
    foreach ($entry in $entries) {
        $fields = $number, $entry.Mode, 0, 0, 1, 0, $entry.Content.Length, 0, 0, 0, 0, ($entry.Name.Length + 1), 0
        $header = '070701' + -join ($fields | ForEach-Object { $_.ToString('X8') })
        $archive.Write([Text.Encoding]::ASCII.GetBytes("$header$($entry.Name)`0"))
        $archive.SetLength(($archive.Position = ($archive.Length + 3) -band -bnot 3))
        $archive.Write($entry.Content)
        $archive.SetLength(($archive.Position = ($archive.Length + 3) -band -bnot 3))
        $number++
    }
    [IO.File]::WriteAllBytes($Path, $archive.ToArray())
}
