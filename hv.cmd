@echo off
rem Runs the hypervisor's shell from a clone; builds it first when there is no build or a source is newer than it.
setlocal
set "ROOT=%~dp0"
set "OUT=%ROOT%artifacts\hv"
set "NEEDS="
if not exist "%OUT%\.built" set "NEEDS=1"
if not defined NEEDS (
  powershell -NoProfile -Command "$b=(Get-Item '%OUT%\.built').LastWriteTimeUtc; $n=Get-ChildItem '%ROOT%src','%ROOT%module','%ROOT%Directory.*.props' -Recurse -File | Where-Object { $_.FullName -notmatch '\\(bin|obj)\\' -and $_.LastWriteTimeUtc -gt $b } | Select-Object -First 1; exit [int][bool]$n"
  if errorlevel 1 set "NEEDS=1"
)
if defined NEEDS (
  where dotnet >nul 2>nul || (echo hv: the .NET SDK 10 is needed to build and run it, and 'dotnet' is not on the PATH. 1>&2 & exit /b 1)
  echo hv: building ^(first use or changed sources^) ... 1>&2
  if not exist "%ROOT%artifacts" mkdir "%ROOT%artifacts"
  dotnet publish "%ROOT%src\Shell\Shell.csproj" -c Release -o "%OUT%" -nologo -v minimal -p:HvReadyToRun=true > "%ROOT%artifacts\hv-build.log" 2>&1 || dotnet publish "%ROOT%src\Shell\Shell.csproj" -c Release -o "%OUT%" -nologo -v minimal > "%ROOT%artifacts\hv-build.log" 2>&1 || (findstr /c:"error" "%ROOT%artifacts\hv-build.log" 1>&2 & echo hv: the build failed; the whole log is artifacts\hv-build.log 1>&2 & exit /b 1)
  type nul > "%OUT%\.built"
)
dotnet "%OUT%\hv.dll" %*
exit /b %errorlevel%
