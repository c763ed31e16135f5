using Hypervisor.Engine.Native;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Native.Posix;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

public sealed class UserFaultTests
{
    [UserFaultDeviceFact]
    public async Task A_userfaultfd_made_by_its_device_hears_of_the_kernels_accesses()
    {
        using UserFault? faults = UserFault.TryCreateByDevice(out string reason);
        Assert.True(faults is not null, reason);
        using AnonymousMemory memory = AnonymousMemory.Allocate(4096);
        faults.Register(memory.Address, memory.Length);
        using var stop = EventFd.Create();

        // The kernel stores there, and waits until somebody says what is to be there.
        Task<int> read = Task.Run(() => ReadZeroes(memory));
        var found = await Task.Run(() =>
        {
            Span<UserFault.Fault> some = stackalloc UserFault.Fault[1];
            int count = faults.Wait(some, stop);
            return (count, some[0]);
        });
        Assert.Equal((1, new UserFault.Fault(memory.Address, IsProtected: false)), found);
        faults.Zero(memory.Address, memory.Length);
        Assert.Equal(100, await read);
    }

    private static unsafe int ReadZeroes(AnonymousMemory memory)
    {
        using var zeroes = File.OpenHandle("/dev/zero");
        return RandomAccess.Read(zeroes, new Span<byte>((void*)memory.Address, 100), 0);
    }
}
